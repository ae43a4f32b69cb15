"""What the command prints: answers and medication lines as text for people, answers as FHIR."""
