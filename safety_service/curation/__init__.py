"""The tools that keep the knowledge right over years: what the cases cover and would notice, what a change does."""
