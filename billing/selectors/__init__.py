"""Reads of this app, by topic: terms in force, charges so far, prices, previews, history, advice, contacts."""

from billing.selectors.advice import Advice, advice_for
from billing.selectors.charges import Standing, charges_so_far, usage_of
from billing.selectors.contacts import contacts_of
from billing.selectors.frame import Frame, frame_of
from billing.selectors.history import History, history_read
from billing.selectors.plans import offered_plans
from billing.selectors.preview import ChangePreview, preview_change
from billing.selectors.prices import CostAt, cost_at, costs_of
from billing.selectors.spend import Spend, spend_read
from billing.selectors.terms import plan_for, terms_by_period, terms_for, terms_read

__all__ = [
    "Advice",
    "ChangePreview",
    "CostAt",
    "Frame",
    "History",
    "Spend",
    "Standing",
    "advice_for",
    "charges_so_far",
    "contacts_of",
    "cost_at",
    "costs_of",
    "frame_of",
    "history_read",
    "offered_plans",
    "plan_for",
    "preview_change",
    "spend_read",
    "terms_by_period",
    "terms_for",
    "terms_read",
    "usage_of",
]
