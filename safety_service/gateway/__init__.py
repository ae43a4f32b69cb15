"""The HTTP door: CDS Hooks 2.0, FHIR R4 and a page. It translates and decides nothing."""
