"""What a curve over training allows to say: where it is highest, whether it peaked, what moves
with it."""
