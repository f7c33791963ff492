"""Pages of a workspace, mounted at /w/<workspace_key>/."""

from django.urls import path

from alerts import views, views_notifications, views_spend, views_workflows

urlpatterns = [
    path("usage/<str:metric_key>/alerts", views.usage_drawer, name="usage_drawer"),
    path("usage/<str:metric_key>/price", views.usage_price, name="usage_price"),
    path("usage/<str:metric_key>/restricted", views.usage_restricted, name="usage_restricted"),
    path("billing/spend-alert", views_spend.spend_alert, name="spend_alert"),
    path("workflows", views_workflows.workflows, name="workflows"),
    path("workflows/new", views_workflows.workflow_new, name="workflow_new"),
    path("workflows/handover", views_workflows.handover_steps, name="handover_steps"),
    path("workflows/restricted", views_workflows.workflow_restricted, name="workflow_restricted"),
    path("workflows/<int:workflow_id>", views_workflows.workflow_edit, name="workflow_edit"),
    path("workflows/<int:workflow_id>/move", views_workflows.workflow_move, name="workflow_move"),
    path("workflows/<int:workflow_id>/delete", views_workflows.workflow_delete, name="workflow_delete"),
    path("notifications", views_notifications.notifications, name="notifications"),
    path("notifications/read", views_notifications.notifications_read, name="notifications_read"),
    path("notifications/<int:notification_id>/read", views_notifications.notification_read, name="notification_read"),
]
