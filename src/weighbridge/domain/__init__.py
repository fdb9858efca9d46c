"""The nouns: frozen values without behaviour beyond checking themselves."""
