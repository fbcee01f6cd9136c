"""A field that is null is as good as one that is left out (the API description says so once, not at each field)."""

import schemathesis
from schemathesis.specs.openapi import checks


def holds_null(value):
    if isinstance(value, dict):
        return any(holds_null(v) for v in value.values())
    if isinstance(value, list):
        return any(holds_null(v) for v in value)
    return value is None


@schemathesis.check
def wrong_data_is_refused(ctx, response, case):
    """`negative_data_rejection`, but for bodies that may be wrong in nothing but a null."""
    if holds_null(case.body):
        return None
    return checks.negative_data_rejection(ctx, response, case)
