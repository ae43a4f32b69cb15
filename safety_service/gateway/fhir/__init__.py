"""FHIR R4 in: orders and what is known of the patient, as the request of the contract."""
