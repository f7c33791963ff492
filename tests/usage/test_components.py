"""The parts that every page is made of: what they show, and that nothing a person typed becomes markup."""

import re
from collections.abc import Iterator
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from django.conf import settings
from django.template import engines
from django.template.loader import get_template, render_to_string
from django.test import RequestFactory

from config.cards import Card, Fact
from usage import charts
from usage.icons import ICONS

TEMPLATES = Path(settings.BASE_DIR) / "templates"
EVIL = "<b>&\"'"


def shown(source: str, **context: Any) -> str:
    return engines["django"].from_string("{% load headroom charts documents %}" + source).render(context)


def all_templates() -> Iterator[str]:
    yield from sorted(str(path.relative_to(TEMPLATES)) for path in TEMPLATES.rglob("*.*") if path.suffix != ".md")


@pytest.mark.parametrize("name", all_templates())
def test_every_template_can_be_read(name: str) -> None:
    get_template(name)


@pytest.mark.parametrize("name", all_templates())
def test_no_template_weakens_the_content_security_policy(name: str) -> None:
    source = (TEMPLATES / name).read_text()
    if not name.startswith("emails/"):
        assert not re.search(r"<style|\sstyle=|<script(?![^>]*\ssrc=)|\son[a-z]+=|hx-on|javascript:", source)
    assert "|safe" not in source


def test_every_icon_that_a_template_names_exists() -> None:
    used = {
        icon
        for path in TEMPLATES.rglob("*.html")
        for icon in re.findall(r'(?:\{% icon |icon_name=)"([a-z]+)"', path.read_text())
    }
    assert used <= ICONS.keys()


class TestTags:
    def test_money_and_quantities_read_frozen_strings_too(self) -> None:
        assert shown('{{ "1342.630"|money:"USD" }} {{ "1463"|quantity }}') == "$1,342.63 1,463"

    def test_nothing_at_all_is_an_en_dash(self) -> None:
        assert shown('{{ none|money:"USD" }} {{ none|quantity }} {{ none|short_date }}', none=None) == "– – –"

    def test_nought_is_shown_as_nought(self) -> None:
        assert shown('{{ n|quantity:"minutes" }} {{ n|money:"USD" }}', n=Decimal(0)) == "0 minutes $0.00"

    def test_an_instant_carries_its_machine_readable_time(self) -> None:
        at = datetime(2026, 11, 21, 13, 30, tzinfo=UTC)
        assert shown('{% local_time at "Europe/Berlin" %}', at=at) == (
            '<time datetime="2026-11-21T14:30:00+01:00">21 Nov 2026, 14:30</time>'
        )

    def test_initials_come_from_names_and_addresses(self) -> None:
        assert shown('{{ "Ada van Moreno"|initials }} {{ "ada@demo.example"|initials }} {{ ""|initials }}') == "AM AE "


class TestEscaping:
    def chart(self) -> charts.DailyChart:
        return charts.daily_chart(
            id="c",
            name=EVIL,
            unit=EVIL,
            workspace=EVIL,
            starts_at=datetime(2026, 11, 1, tzinfo=UTC),
            ends_at=datetime(2026, 12, 1, tzinfo=UTC),
            as_of=datetime(2026, 11, 3, tzinfo=UTC),
            zone="UTC",
            own={date(2026, 11, 1): Decimal(5)},
            pool={date(2026, 11, 1): Decimal(9)},
            included=Decimal(3),
        )

    def test_names_in_charts_stay_text(self) -> None:
        html = shown("{% chart chart %}{% chart_table chart %}", chart=self.chart())
        assert "<b>&" not in html
        assert "&lt;b&gt;&amp;&quot;&#x27;" in html

    def test_names_in_bars_stay_text(self) -> None:
        bar = charts.usage_bar(parts=[charts.Part(EVIL, Decimal(1))], included=Decimal(2))
        assert "<b>&" not in shown("{% usage_bar bar %}", bar=bar)

    def test_names_among_facts_stay_text(self) -> None:
        html = shown("{% facts rows %}", rows=[{"label": EVIL, "value": EVIL, "note": EVIL}])
        assert html.count("&lt;b&gt;&amp;&quot;&#x27;") == 3
        assert "<b>&" not in html

    def test_names_on_cards_stay_text(self) -> None:
        card = Card(
            key=EVIL,
            name=EVIL,
            sub=EVIL,
            tip=EVIL,
            badge="Included",
            tone="blue",
            limit_reached=True,
            value="1",
            unit=EVIL,
            bar=charts.usage_bar(parts=[charts.Part(EVIL, Decimal(1))], included=Decimal(2)),
            facts=[Fact(EVIL, EVIL, EVIL)],
            chart=self.chart(),
            drawer_url=EVIL,
            button=EVIL,
        )
        html = shown("{% load cards %}{% metric_card card %}", card=card)
        assert "<b>&" not in html
        assert '<span class="badge badge-blue">Included</span> <span class="badge badge-limit">' in html

    def test_braces_in_a_name_are_only_text(self) -> None:
        html = shown("{% badge name %}{% facts rows %}", name="{} {0}", rows=[{"label": "{}", "value": "{x}"}])
        assert html.endswith('>{} {0}</span><dl class="facts"><div><dt>{}</dt><dd>{x}</dd></div></dl>')

    def test_names_on_documents_stay_text(self) -> None:
        document = {
            "document_type": "invoice",
            "number": EVIL,
            "issued_on": "2026-11-08",
            "due_on": "2026-11-22",
            "currency": "USD",
            "subtotal": "1",
            "tax": "0",
            "total": "1",
            "issuer": {"name": EVIL, "address_lines": [EVIL]},
            "buyer": {"name": EVIL, "address_lines": [EVIL], "city": EVIL, "country": EVIL},
            "period": {"first_day": "2026-10-08", "last_day": "2026-11-07", "zone": "UTC"},
            "lines": [
                {"kind": "usage", "description": EVIL, "amount": "1", "detail": {"workspaces": [{"name": EVIL}]}}
            ],
            "tax_lines": [{"category": "S", "name": EVIL, "rate": "0", "base": "1", "amount": "0"}],
            "notes": [EVIL],
        }
        assert "<b>&" not in render_to_string("documents/invoice.html", {"document": document})


class TestFrames:
    def drawer(self, **given: Any) -> str:
        request = RequestFactory().get("/")
        request.htmx = given.pop("htmx")  # type: ignore[attr-defined]
        return render_to_string("components/drawer.html", {"action": "/save", "close_url": "/back", **given}, request)

    def test_htmx_receives_the_drawer_alone(self) -> None:
        html = self.drawer(htmx=True)
        assert html.strip().startswith("<form")
        assert "<html" not in html

    def test_without_javascript_the_same_drawer_is_a_page(self) -> None:
        html = self.drawer(htmx=False)
        assert "<!doctype html>" in html
        assert 'href="/back"' in html

    def test_a_read_only_drawer_explains_itself_when_it_is_used(self) -> None:
        html = self.drawer(htmx=True, restricted_url="/why")
        assert 'data-restricted="/why"' in html
        assert 'type="submit" aria-disabled="true"' in html

    def test_the_restricted_pop_up_names_permission_holders_and_support(self) -> None:
        request = RequestFactory().get("/")
        request.htmx = True  # type: ignore[attr-defined]
        html = render_to_string(
            "components/restricted.html",
            {
                "doing": "change alerts and limits",
                "permissions": ["Can manage usage alerts", "Can manage hard limits"],
                "holders": [SimpleNamespace(name="Ada Moreno", email="ada@demo.example")],
                "workspace": SimpleNamespace(name="Atlas"),
                "support_email": "support@demo.example",
                "attempted": True,
            },
            request,
        )
        words = " ".join(re.sub(r"<[^>]+>", "", html).split())
        assert "This feature is restricted" in words
        assert (
            "you need the permissions Can manage usage alerts and Can manage hard limits. Nothing was changed." in words
        )
        assert "In Atlas they are held by Ada Moreno (ada@demo.example). Support: support@demo.example." in words


class TestDocuments:
    def test_a_part_of_a_plan_says_its_days(self) -> None:
        line = {
            "kind": "plan",
            "description": "Starter plan",
            "unit_price": "49",
            "detail": {"days": 12, "days_in_period": 31},
        }
        assert shown('{{ line|line_quantity }}; {{ line|line_note:"USD" }}', line=line) == (
            "12\u00a0/\u00a031; 12 of 31 days of $49.00"
        )

    def test_seats_say_how_many_on_how_many_days(self) -> None:
        runs = [{"seats": "8", "days": 12}, {"seats": "9", "days": 1}]
        line = {
            "kind": "seats",
            "quantity": "3.387097",
            "detail": {"runs": runs, "seat_days": "105", "days_in_period": 31},
        }
        assert shown('{{ line|line_quantity }}; {{ line|line_note:"USD" }}', line=line) == (
            "3.3871; 8 on 12 days, 9 on 1 day: 105 seat-days in 31 days"
        )

    def test_a_usage_line_names_its_only_workspace_and_pay_as_you_go(self) -> None:
        detail = {"terms": "pay_as_you_go", "workspaces": [{"name": "Atlas", "quantity": "37"}]}
        line = {"kind": "usage", "description": "AI Voice resolutions", "included": None, "detail": detail}
        assert shown("{{ line|line_title }}; {{ line|line_included }}", line=line) == (
            "AI Voice resolutions, Atlas, pay-as-you-go; –"
        )

    def test_the_chart_is_an_image_inside_the_page(self) -> None:
        panels = [{"name": "Conversations", "included": "10", "terms": "contracted", "days": [["2026-10-08", "12"]]}]
        html = shown('{% document_chart p "2026-10-08" "2026-10-08" as c %}{{ c.src }} {{ c.alt }}', p=panels)
        assert html.startswith("data:image/svg+xml;base64,")
        assert html.endswith("Conversations: 12, contracted 10.")
        assert shown('{% document_chart p "" "" as c %}{{ c }}', p=[]) == "None"


class TestMails:
    CONTEXT = {
        "heading": "Atlas has reached 80% of your alert",
        "account": SimpleNamespace(name="R&D <Ltd>"),
        "workspace": "Atlas",
        "quantity": "641",
        "threshold": "800",
        "unit": "resolutions",
        "period": "8 Nov – 7 Dec 2026",
        "zone": "Europe/Berlin",
        "at": datetime(2026, 11, 21, 13, 30, tzinfo=UTC),
        "usage_url": "https://headroom.example/w/atlas/usage",
        "billing_url": "https://headroom.example/w/atlas/billing",
        "note": "This is a message only. An alert never switches off a channel and never stops a message.",
    }

    def mail(self, name: str, **given: Any) -> str:
        return " ".join(render_to_string(f"emails/{name}", {**self.CONTEXT, **given}).split())

    @pytest.mark.parametrize("kind", ["html", "txt"])
    def test_an_alert_of_the_agent_names_the_two_ways_to_act(self, kind: str) -> None:
        mail = self.mail(f"usage_alert.{kind}", metric=SimpleNamespace(agent_name="AI Agent"))
        assert "it does not turn AI Agent off" in mail
        assert "Set a hard limit" in mail
        assert "answer only a subset of your conversations" in mail

    @pytest.mark.parametrize("name", ["usage_alert", "plan_alert", "spend_alert"])
    @pytest.mark.parametrize("kind", ["html", "txt"])
    def test_every_other_alert_says_that_it_disables_nothing(self, name: str, kind: str) -> None:
        mail = self.mail(
            f"{name}.{kind}", metric=SimpleNamespace(agent_name="", unit_singular="conversation"), level=80
        )
        assert "An alert never switches off a channel" in mail

    def test_text_is_not_html(self) -> None:
        assert "a billing contact of R&D <Ltd>." in self.mail("usage_alert.txt", metric=SimpleNamespace(agent_name=""))

    def test_html_is_escaped(self) -> None:
        assert "R&amp;D &lt;Ltd&gt;" in self.mail("usage_alert.html", metric=SimpleNamespace(agent_name=""))

    @pytest.mark.parametrize("kind", ["html", "txt"])
    def test_a_voice_limit_leaves_telephony_alone(self, kind: str) -> None:
        voice = SimpleNamespace(key="voice_resolutions")
        mail = self.mail(f"limit_reached.{kind}", metric=voice, agent="AI Voice", on_again_on="8 December 2026")
        assert "Telephony charges are billed separately and are not affected by this limit." in mail
        assert "8 December 2026, or at once when the limit is raised or turned off." in mail

    @pytest.mark.parametrize("kind", ["html", "txt"])
    def test_an_invoice_shows_its_total_and_when_it_is_due(self, kind: str) -> None:
        mail = self.mail(
            f"invoice_issued.{kind}", total="$1,342.63", due_on=date(2026, 11, 22), invoice_url="https://x/i"
        )
        assert "$1,342.63" in mail
        assert "22 November 2026" in mail
        assert "https://x/i" in mail
