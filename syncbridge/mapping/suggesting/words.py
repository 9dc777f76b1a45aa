"""Names of columns and remote fields as words, and which words usually mean the same in a CRM. Pure.

A name is cut at underscores and where its case changes, abbreviations are written out, plurals and what custom fields
carry around their names are dropped: `first_name`, `FirstName`, `FNAME` and `crm__First_Name__c` are all
`("first", "name")`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping

Words = tuple[str, ...]

#: Between words: what is no letter or digit, where a capital begins one, around digits.
_CUT = re.compile(
    r"[\W_]+|(?<=[^\W\d_A-Z])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][^\W\d_A-Z])|(?<=\d)(?=[^\W\d_])|(?<=[^\W\d_])(?=\d)"
)
_CUSTOM = re.compile(r"(?:[A-Za-z]\w*?__)?(\w+?)__[a-z]+", re.ASCII)

#: One written word that is several, or short for others.
_WRITTEN_OUT: Mapping[str, str] = {
    "acct": "account",
    "accountnumber": "account number",
    "addr": "address",
    "amt": "amount",
    "annualrevenue": "annual revenue",
    "at": "date",
    "avg": "average",
    "bday": "birth date",
    "birthdate": "birth date",
    "birthday": "birth date",
    "born": "birth date",
    "cell": "mobile",
    "cellphone": "mobile phone",
    "closedate": "close date",
    "cnt": "count",
    "companyname": "company name",
    "dept": "department",
    "desc": "description",
    "descr": "description",
    "dob": "birth date",
    "emailaddress": "email address",
    "emp": "employee",
    "ext": "external",
    "familyname": "family name",
    "firstname": "first name",
    "fname": "first name",
    "forename": "first name",
    "fullname": "full name",
    "givenname": "given name",
    "homepage": "website",
    "homephone": "home phone",
    "jobtitle": "job title",
    "lastname": "last name",
    "lname": "last name",
    "mail": "email",
    "mobilephone": "mobile phone",
    "nbr": "number",
    "no": "number",
    "num": "number",
    "on": "date",
    "org": "organization",
    "organisation": "organization",
    "ph": "phone",
    "phonenumber": "phone number",
    "postalcode": "postal code",
    "postcode": "postal code",
    "plz": "postal code",
    "pct": "percent",
    "prob": "probability",
    "qty": "quantity",
    "rev": "revenue",
    "src": "source",
    "surname": "last name",
    "tel": "phone",
    "telephone": "phone",
    "url": "website",
    "web": "website",
    "zip": "postal code",
    "zipcode": "postal code",
}
_PLURALS: Mapping[str, str] = {"people": "person", "persons": "person", "children": "child", "addresses": "address"}
_ENDINGS = (("ies", "y"), ("sses", "ss"), ("uses", "us"), ("xes", "x"))
_NO_PLURAL = ("ss", "us", "is")

#: Of a remote field the other names that columns usually have for it. Sure ones, then those that need a second look.
_USUAL: Mapping[str, tuple[str, str]] = {
    "first name": ("given name", ""),
    "last name": ("family name", ""),
    "email": ("email address, e email, work email, business email", "primary email, contact email, login"),
    "phone": ("phone number, work phone, business phone, office phone, main phone", "primary phone"),
    "mobile phone": ("mobile, mobile number", ""),
    "home phone": ("private phone", ""),
    "fax": ("fax number", ""),
    "title": ("job title, job", "position, role"),
    "salutation": ("honorific, name prefix", "prefix"),
    "department": ("", "team, unit"),
    "birth date": ("date of birth, birth", ""),
    "description": ("note, comment, remark", "bio, about, summary, info, text, body, message"),
    "lead source": ("source", "signup source, utm source, origin, channel"),
    "account source": ("source", "signup source, utm source, origin, channel"),
    "website": ("domain, website address, domain name", "site, link"),
    "number of employee": ("employee, employee count, headcount, staff count", "staff, size, company size"),
    "annual revenue": ("revenue, yearly revenue, turnover", "arr"),
    "industry": ("sector", "branch, vertical"),
    "account number": ("customer number, client number", "number, code"),
    "ticker symbol": ("ticker", "symbol"),
    "company": ("company name, organization, organization name, employer", "firm, account"),
    "street": ("street address, address line 1, address 1", "address"),
    "city": ("town", "place"),
    "state": ("province", "region, county"),
    "country": ("country name", "country code"),
    "name": ("company name, organization name, account name, display name, full name", "title, label, subject"),
    "stage name": ("stage, deal stage, pipeline stage", "status, state"),
    "close date": ("closed date, expected close, expected close date", "due date, end date, date"),
    "amount": ("total amount, deal value, deal size", "total, value, price, sum, revenue"),
    "probability": ("likelihood, win probability", "percent"),
    "subject": ("headline", "title, summary, name"),
    "status": ("", "state, stage"),
    "origin": ("", "channel, source"),
    "supplied email": ("requester email, customer email, from email", ""),
    "priority": ("urgency", "severity"),
    "type": ("kind", "category"),
    "product code": ("sku", "code, number"),
    "is active": ("active, enabled, is enabled", "status"),
    "start date": ("start, begin date", "begin"),
    "end date": ("end", "until"),
}  # fmt: skip
#: Fields of an address begin with where it is used; a column without that means the first of these that the object has.
PLACES = ("mailing", "billing")

#: Words that say nothing by themselves.
GENERIC = frozenset(
    {
        "code",
        "count",
        "date",
        "id",
        "is",
        "has",
        "key",
        "name",
        "number",
        "of",
        "state",
        "status",
        "the",
        "type",
        "value",
    }
)
#: One word for what tables and objects call the same thing.
_THINGS: Mapping[str, str] = {
    "client": "account",
    "company": "account",
    "customer": "account",
    "firm": "account",
    "organization": "account",
    "tenant": "account",
    "member": "contact",
    "person": "contact",
    "user": "contact",
    "deal": "opportunity",
    "order": "opportunity",
    "ticket": "case",
    "manager": "report to",
    "boss": "report to",
    "supervisor": "report to",
}


def words_of(name: str) -> Words:
    """The words of a column's, field's, table's or object's name."""
    custom = _CUSTOM.fullmatch(name)
    words: list[str] = []
    for cut in filter(None, _CUT.split(custom[1] if custom else name)):
        word = cut.lower()
        words += (singular(each) for each in _WRITTEN_OUT.get(word, word).split())
    # `zip_code` is a postal code, not a postal code code
    return tuple(word for index, word in enumerate(words) if index == 0 or word != words[index - 1])


def singular(word: str) -> str:
    """A word without its plural, by a few rules that are right often enough for both sides to agree."""
    if word in _PLURALS:
        return _PLURALS[word]
    for ending, instead in _ENDINGS:
        if word.endswith(ending) and len(word) > len(ending) + 1:
            return word.removesuffix(ending) + instead
    if len(word) > 3 and word.endswith("s") and not word.endswith(_NO_PLURAL):
        return word[:-1]
    return word


def thing(words: Words) -> Words:
    """The same, with the CRM's word for what it is: a company is an account."""
    return tuple(part for word in words for part in _THINGS.get(word, word).split())


def without(words: Words, owner: Words) -> Words:
    """Words without the name of what they belong to: `company_name` of `companies` is `name`."""
    if len(words) > len(owner) and words[: len(owner)] == owner:
        return words[len(owner) :]
    return words


def usual(column: Words, field: Words) -> str:
    """`sure` or `likely` when a column of this name usually fills a field of that name, else an empty text."""
    return _MEANT.get((field, column), "")


def _meant() -> Iterable[tuple[tuple[Words, Words], str]]:
    for field, (sure, likely) in _USUAL.items():
        for sureness, listed in (("likely", likely), ("sure", sure)):  # the later one counts
            for name in filter(None, listed.split(", ")):
                yield (_spoken(field), _spoken(name)), sureness


def _spoken(text: str) -> Words:
    return words_of(text.replace(" ", "_"))


_MEANT: Mapping[tuple[Words, Words], str] = dict(_meant())
