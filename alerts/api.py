"""The API of this app: joins its routers."""

from ninja import Router

from alerts import api_decisions, api_notifications, api_settings

router = Router()
router.add_router("", api_decisions.router)
router.add_router("", api_settings.router)
router.add_router("", api_notifications.router)
