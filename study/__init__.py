"""The study: plan, ledger, execution, measures, views."""
