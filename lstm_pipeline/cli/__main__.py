"""`python -m lstm_pipeline.cli`, where the command itself is not on the path."""

from lstm_pipeline.cli import main

main()
