"""The faults that the proxy injects, as rules: data that a test writes and the proxy obeys.

A rule is a dictionary. The first rule that matches a request and still has a count applies, alone.

Which requests (all given must hold):
  method       "GET"
  operation    an S3 name as proxy_stats gives it, "UploadPart", or a list of such names
  path         regular expression, searched in the request target (encoded, with its query)
  ranged       true: only with a Range header; false: only without
  skip         let this many matching requests pass first
  count        apply to this many, then no longer (default: for ever)
  probability  0..1 (default 1)

What happens (several together where it makes sense):
  delay         seconds before the request goes on
  hang          seconds of silence, then a reset; the server never sees the request
  status        answer this status without asking the server, with headers and body
  corrupt_upload  the byte of the request's body at this offset is inverted
  reset_upload  reset both sides when this many bytes of the request's body have gone to the server
  drop_reply    true: the server acts and answers, the client sees a reset
  ttfb          seconds before the head of the reply
  headers       of the reply: name to value, null removes one
  body          the reply's body is replaced by this text
  ignore_range  true: 206 becomes 200 with the whole object; bytes outside the range are made up
  content_length  this many added to the Content-Length that the reply declares (it may be negative)
  endless       this many bytes of `fill` follow the body, which declares no length
  fill          text for endless (default "x")
  repeat_page   true: a listing's page comes again and again, always saying that there is more
  rate          bytes per second of the reply's body
  head_rate     bytes per second of the reply's head
  blanks        a blank each 0.3 s for so many seconds precede the reply's body, which declares no length
  stall         silence for minutes after this many bytes of the reply's body
  corrupt       the byte of the reply's body at this offset is inverted
  truncate      close in order after this many bytes of the reply's body
  reset         reset after this many bytes of the reply's body; -1: instead of a reply, the server never sees the request
  close         true: close the connection in order after the reply
"""

import random
import re

_NUMBER = (int, float)
MATCHERS = {"method": str, "operation": (str, list), "path": str, "ranged": bool, "skip": int, "count": int,
            "probability": _NUMBER}
ACTIONS = {"delay": _NUMBER, "hang": _NUMBER, "status": int, "headers": dict, "body": str, "corrupt_upload": int, "reset_upload": int,
           "drop_reply": bool, "ttfb": _NUMBER, "ignore_range": bool, "content_length": int, "endless": int, "fill": str,
           "repeat_page": bool, "rate": _NUMBER, "head_rate": _NUMBER, "blanks": _NUMBER, "stall": int, "corrupt": int, "truncate": int, "reset": int, "close": bool}
LOG_KEPT = 20000


class RuleError(ValueError):
    """A rule that the proxy does not understand; a test with a misspelt rule must not pass."""


class Rule:
    def __init__(self, fields):
        if not isinstance(fields, dict):
            raise RuleError(f"a rule is an object, not {fields!r}")
        for name, value in fields.items():
            kind = MATCHERS.get(name) or ACTIONS.get(name)
            if kind is None:
                raise RuleError(f"unknown field {name!r}")
            if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
                raise RuleError(f"field {name!r} cannot be {value!r}")
        self.actions = {name: value for name, value in fields.items() if name in ACTIONS}
        if not self.actions:
            raise RuleError(f"rule without an action: {fields!r}")
        self.method = fields.get("method")
        operation = fields.get("operation")
        self.operations = [operation] if isinstance(operation, str) else operation
        self.path = re.compile(fields["path"]) if "path" in fields else None
        self.ranged = fields.get("ranged")
        self.skip = fields.get("skip", 0)
        self.count = fields.get("count")
        self.probability = fields.get("probability", 1)
        self.page = None  # what repeat_page has kept

    def matches(self, request):
        return ((self.method is None or self.method == request.method)
                and (self.operations is None or request.operation in self.operations)
                and (self.path is None or bool(self.path.search(request.target)))
                and (self.ranged is None or self.ranged == ("range" in request.headers)))

    def take(self, request):
        """True if this rule applies to the request now; uses up skip and count."""
        if self.count == 0 or not self.matches(request):
            return False
        if self.skip > 0:
            self.skip -= 1
            return False
        if random.random() >= self.probability:
            return False
        if self.count is not None:
            self.count -= 1
        return True


class Rules:
    def __init__(self):
        self.rules = []
        self.log = []

    def replace(self, fields_of_rules):
        """Takes a list of rules in place of the present ones. Raises RuleError and changes nothing if one is wrong."""
        if not isinstance(fields_of_rules, list):
            raise RuleError("rules are a list")
        try:
            self.rules = [Rule(fields) for fields in fields_of_rules]
        except re.error as error:
            raise RuleError(f"bad regular expression: {error}") from error
        self.log = []

    def pick(self, request):
        """The rule that applies to this request, or None. What is picked is logged."""
        for index, rule in enumerate(self.rules):
            if rule.take(request):
                if len(self.log) < LOG_KEPT:
                    self.log.append({"method": request.method, "target": request.target, "operation": request.operation,
                                     "rule": index, "fault": rule.actions})
                return rule
        return None
