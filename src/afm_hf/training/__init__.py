"""What `Trainer` lacks for the models of this package, and nothing that it has."""
