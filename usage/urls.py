"""Addresses outside any workspace."""

from django.urls import path

from usage import views

urlpatterns = [path("", views.home, name="home")]
