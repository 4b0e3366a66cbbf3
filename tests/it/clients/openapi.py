"""Holds an OpenAPI 3.1 document (on standard input) against the standard; prints its version and paths as JSON."""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

document = json.load(sys.stdin)
OpenAPIV31SpecValidator(document).validate()
print(json.dumps({"openapi": document["openapi"], "paths": sorted(document["paths"])}))
