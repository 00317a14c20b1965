"""What a shopper's words ask for, understood from the catalogue's own vocabulary."""
