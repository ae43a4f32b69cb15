"""`python -m safety_service` is `safety-service`."""

from safety_service.cli import app

app(prog_name="safety-service")
