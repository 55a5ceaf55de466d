"""Is a face image good enough to learn from? Measures as columns, limits on them, rejections."""
