"""Evaluation: one file per task, metrics in `metrics/`. Import the module that you need."""
