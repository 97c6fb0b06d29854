"""What goes into the image: the question, the model and the service. Nothing here knows how the model was trained."""
