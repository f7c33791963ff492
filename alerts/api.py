"""The API of this app: joins its routers."""

from ninja import Router

from alerts import api_decisions

router = Router()
router.add_router("", api_decisions.router)
