"""Mounted at /ofrep/v1/ (spec 4.9)."""

from django.urls import path

from alerts import ofrep

urlpatterns = [
    path("evaluate/flags", ofrep.evaluate_flags, name="ofrep_flags"),
    path("evaluate/flags/<str:flag_key>", ofrep.evaluate_flag, name="ofrep_flag"),
]
