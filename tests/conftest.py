"""Composes the topic fixtures; nothing else lives here."""

pytest_plugins = [
    "tests.fix_alerts",
    "tests.fix_check",
    "tests.fix_cli",
    "tests.fix_postgres",
    "tests.fix_project",
    "tests.fix_properties",
    "tests.fix_source",
    "tests.fix_store",
    "tests.fix_family",  # imports fix_store too
    "tests.fix_family_both",  # imports fix_family
    "tests.fix_delivery",  # imports fix_store, which must be registered first
    "tests.fix_bulk",  # imports fix_delivery
    "tests.fix_two_way",  # and this one
]
