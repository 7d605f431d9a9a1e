"""Cut-outs and backgrounds of other packages, laid out for SAM-nano's pretraining."""
