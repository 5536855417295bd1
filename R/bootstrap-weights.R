# Bootstrap weights of units (patients, clusters, rows), in R. They are those of
# the engine's replicate_weights(), so that both engines resample alike.
#
# Replicate k of a seed takes its numbers from the Philox 4x64-10 generator with
# key (seed, k - 1), counting from 1: it does not depend on other replicates.
# Source: Salmon, Moraes, Dror and Shaw (2011), Parallel random numbers: as easy
# as 1, 2, 3. R has no 64-bit integers: a word is a list of four vectors of 16
# bits each, the lowest first, and every product fits into a double.

# stratum: codes from 1, or NULL. Value: count x n matrix. "multinomial": how
# often each unit is drawn, as many as there are, within each stratum;
# "bayesian": exponential weights with mean 1 within each stratum.
draw_weights <- function(n, kind, seed, first, count, stratum = NULL) {
  stratum <- stratum %||% rep.int(1L, n)
  order <- order(stratum)
  size <- tabulate(stratum)
  size <- size[size > 0L]
  begin <- rep(cumsum(c(0L, size[-length(size)])), size)
  group <- rep(seq_along(size), size)
  u <- philox_uniform(n, seed, first, count)
  weights <- matrix(0, count, n)
  for (k in seq_len(count)) {
    one <- if (kind == "multinomial") {
      drawn <- begin + floor(u[, k] * size[group])
      tabulate(drawn + 1L, n)
    } else {
      gap <- -log1p(-u[, k])
      total <- as.vector(rowsum(gap, group))
      gap * (size / total)[group]
    }
    weights[k, order] <- one
  }
  weights
}

# Numbers in [0, 1) of 53 bits: n x count.
philox_uniform <- function(n, seed, first, count) {
  blocks <- ceiling(n / 4)
  zero <- numeric(blocks * count)
  number <- rep(seq_len(blocks), count)
  counter <- list(words_of(number), rep(list(zero), 4L), rep(list(zero), 4L),
                  rep(list(zero), 4L))
  key <- list(words_of(rep(seed, blocks * count)),
              words_of(rep(first + seq_len(count) - 2, each = blocks)))
  out <- philox(counter, key)
  top <- lapply(out, function(w) {
    (floor(w[[1L]] / 2^11) + w[[2L]] * 2^5 + w[[3L]] * 2^21 +
       w[[4L]] * 2^37) * 2^-53
  })
  u <- matrix(do.call(rbind, top), 4 * blocks, count)
  u[seq_len(n), , drop = FALSE]
}

words_of <- function(x) {
  lapply(0:3, function(k) (x %/% 65536^k) %% 65536)
}

philox_factors <- list(c(0x6C93, 0xE14C, 0x470E, 0xD2E7),
                       c(0x1157, 0x9512, 0x8263, 0xCA5A))
philox_weyl <- list(c(0x7C15, 0x7F4A, 0x79B9, 0x9E37),
                    c(0xA73B, 0x84CA, 0xAE85, 0xBB67))

philox <- function(counter, key) {
  for (round in 1:10) {
    if (round > 1L) key <- Map(add_words, key, philox_weyl)
    left <- multiply_words(counter[[1L]], philox_factors[[1L]])
    right <- multiply_words(counter[[3L]], philox_factors[[2L]])
    counter <- list(
      xor_words(xor_words(right$high, counter[[2L]]), key[[1L]]), right$low,
      xor_words(xor_words(left$high, counter[[4L]]), key[[2L]]), left$low
    )
  }
  counter
}

multiply_words <- function(x, factor) {
  carry <- 0
  out <- vector("list", 8L)
  for (k in 1:8) {
    total <- carry
    for (i in 1:4) {
      j <- k + 1L - i
      if (j >= 1L && j <= 4L) total <- total + x[[i]] * factor[j]
    }
    out[[k]] <- total %% 65536
    carry <- total %/% 65536
  }
  list(low = out[1:4], high = out[5:8])
}

add_words <- function(x, constant) {
  carry <- 0
  for (k in 1:4) {
    total <- x[[k]] + constant[k] + carry
    x[[k]] <- total %% 65536
    carry <- total %/% 65536
  }
  x
}

xor_words <- function(x, y) Map(function(a, b) bitwXor(a, b), x, y)
