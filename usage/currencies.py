"""The currencies that there are, and how many decimals each has (ISO 4217). Pure.

CLDR counts other digits than ISO for a dozen currencies (it follows the cash in use), so the table is here.
"""

from __future__ import annotations

from typing import Final

# The active codes of ISO 4217 by their minor unit, and the withdrawn ones that documents of the last years still carry
# (an issued document is shown for ever). Metals, test codes and units of account have no minor unit and are not money.
_CODES: Final = {
    0: "BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF",
    2: """
        AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BMD BND BOB BOV BRL BSD BTN BWP BYN BZD CAD CDF CHE CHF
        CHW CNY COP COU CRC CUC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HRK
        HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR
        MWK MXN MXV MYR MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG SEK SGD SHP
        SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD USN UYU UZS VED VES WST XAD XCD XCG
        YER ZAR ZMW ZWG ZWL
    """,
    3: "BHD IQD JOD KWD LYD OMR TND",
    4: "CLF UYW",
}
_DECIMALS: Final = {code: digits for digits, codes in _CODES.items() for code in codes.split()}
CURRENCIES: Final = tuple(sorted(_DECIMALS))


def decimals(currency: str) -> int:
    """Digits after the point that amounts of `currency` have (ISO 4217). ValueError for an unknown code."""
    try:
        return _DECIMALS[currency]
    except (KeyError, TypeError):
        raise ValueError(f"currency {currency!r} is not an ISO 4217 code") from None
