"""Training a whole SAM from scratch, the way its paper does: prompts, correction rounds, losses, averaged weights."""
