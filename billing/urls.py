"""Pages of a workspace, mounted at /w/<workspace_key>/."""

from django.urls import path

from billing import views_contacts, views_invoices, views_plans

urlpatterns = [
    path("billing/restricted", views_contacts.billing_restricted, name="billing_restricted"),
    path("billing/contacts/add", views_contacts.contact_add, name="contact_add"),
    path("billing/contacts/<int:contact_id>", views_contacts.contact_edit, name="contact_edit"),
    path("billing/contacts/<int:contact_id>/remove", views_contacts.contact_remove, name="contact_remove"),
    path("billing/plans", views_plans.plans, name="plans"),
    path("billing/plans/<str:plan_key>", views_plans.plan_preview, name="plan_preview"),
    path("invoices", views_invoices.invoice_list, name="invoices"),
    path("invoices.csv", views_invoices.invoices_csv, name="invoices_csv"),
    path("invoices/<str:number>.pdf", views_invoices.invoice_pdf, name="invoice_pdf"),
    path("invoices/<str:number>", views_invoices.invoice_detail, name="invoice_detail"),
    path("invoices/<str:number>/lines/<int:position>.csv", views_invoices.invoice_line_csv, name="invoice_line_csv"),
    path("invoices/<str:number>/lines/<int:position>", views_invoices.invoice_line, name="invoice_line"),
]
