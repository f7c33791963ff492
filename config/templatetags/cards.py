"""`{% load cards %}`: the card of a metric (spec 6.4), written in one go as its chart is: a usage page has a dozen."""

from __future__ import annotations

from django import template

from config.cards import Card
from usage.markup import Html, Markup
from usage.templatetags.charts import chart_table, daily_chart, usage_bar
from usage.templatetags.headroom import badge, facts, figure, icon

register = template.Library()


@register.simple_tag
def metric_card(card: Card) -> Html:
    """Name, terms and button above; below the figures beside the chart, and the table behind it."""
    # Each piece has escaped its own words.
    return Html(
        "".join(
            (
                _head(card),
                '<div class="metric-body"><div class="metric-figures">',
                figure(card.value, card.unit),
                usage_bar(card.bar) if card.bar else "",
                facts(card.facts),
                '</div><div class="stack">',
                daily_chart(card.chart),
                "</div></div>",
                chart_table(card.chart),
                "</article>",
            )
        )
    )


def _head(card: Card) -> Html:
    key = card.key  # banners, e-mails and notifications link to it
    markup = Markup()
    markup.add('<article class="card" id="{}" aria-labelledby="{}-title"><div class="card-header"><div>', key, key)
    # Badges say words of ours, so they can stand in an element.
    markup.add(f'<h3 class="card-title" id="{{}}-title">{{}} {badge(card.badge, card.tone)}', key, card.name)
    if card.limit_reached:
        markup.add(f" {badge('Limit reached', 'limit', 'limit')}")
    if card.tip:
        markup.add(' <button class="tip" type="button" popovertarget="{}-tip" aria-label="About {}">', key, card.name)
        markup.add(f"{icon('info')}</button>")
    markup.add("</h3>")
    if card.sub:
        markup.add('<p class="card-sub">{}</p>', card.sub)
    if card.tip:
        markup.add('<div class="tip-text" id="{}-tip" popover>{}</div>', key, card.tip)
    markup.add("</div>")
    if card.drawer_url:
        markup.add('<a class="btn btn-sm" id="{}-set" href="{}" hx-get="{}"', key, card.drawer_url, card.drawer_url)
        markup.add(' hx-target="#drawer" aria-describedby="{}-title">{}</a>', key, card.button)
    markup.add("</div>")
    return markup.html()
