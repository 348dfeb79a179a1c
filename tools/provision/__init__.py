"""The set-up of a checkout, standard library only: it runs before anything is installed."""
