"""What files hold: containers, codecs and pieces, by what stands in the files and not by what headers promise."""
