"""Pages of a workspace, mounted at /w/<workspace_key>/."""

from django.urls import path

from billing import views_contacts, views_plans

urlpatterns = [
    path("billing/restricted", views_contacts.billing_restricted, name="billing_restricted"),
    path("billing/contacts/add", views_contacts.contact_add, name="contact_add"),
    path("billing/contacts/<int:contact_id>", views_contacts.contact_edit, name="contact_edit"),
    path("billing/contacts/<int:contact_id>/remove", views_contacts.contact_remove, name="contact_remove"),
    path("billing/plans", views_plans.plans, name="plans"),
    path("billing/plans/<str:plan_key>", views_plans.plan_preview, name="plan_preview"),
]
