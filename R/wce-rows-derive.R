# Log-likelihoods of rows and their derivatives. In all of them a row has a
# linear predictor eta, and the score is z'e with e the residual of the row:
#
#   sets      sum over sets of y'eta - d log S, d events in the set and
#             S = sum exp(eta) over its rows           e = y - d exp(eta) / S
#   exact     the same with log of the sum over all ways to choose d rows of
#             the product of their exp(eta)            e = y - P(row is chosen)
#   logistic  y eta - log(1 + exp(eta))                e = y - P(y = 1)
#   poisson   y eta - exp(eta)                         e = y - exp(eta)
#
# A row of weight u counts u times; in sets all rows have one weight. So
# Newton's method, penalties, replicates and influence are written once, for any
# of them.

# z: rows x p; at: y, offset and stratum of the rows; kind: as above. Value:
# function(u = 1 per row) -> function(beta) -> list(loglik, score, info).
row_derivatives <- function(z, at, kind) {
  derive <- switch(kind, sets = set_derivatives(z, at),
                   exact = exact_derivatives(z, at),
                   logistic = , poisson = glm_derivatives(z, at, kind))
  function(u = NULL) {
    u <- if (is.null(u)) rep.int(1, length(at$y)) else u
    function(beta) derive(beta, u)
  }
}

# Residuals e at coefficients.
row_residuals <- function(z, at, kind, beta) {
  eta <- drop(z %*% beta) + at$offset
  expected <- switch(kind,
    sets = set_shares(eta, at), exact = exact_shares(eta, at),
    logistic = stats::plogis(eta), poisson = exp(eta)
  )
  at$y - expected
}

glm_derivatives <- function(z, at, kind) {
  y <- at$y
  function(beta, u) {
    eta <- drop(z %*% beta) + at$offset
    if (kind == "poisson") {
      mean <- variance <- exp(eta)
      loglik <- y * eta - mean
    } else {
      mean <- stats::plogis(eta)
      variance <- mean * stats::plogis(-eta)
      loglik <- y * eta - pmax(eta, 0) - log1p(exp(-abs(eta)))
    }
    list(loglik = sum(u * loglik), score = drop(crossprod(z, u * (y - mean))),
         info = crossprod(z, (u * variance) * z))
  }
}

# ---- sets -------------------------------------------------------------------

# Codes of the sets, and how many events each has.
set_codes <- function(at) {
  code <- match(at$stratum, unique(at$stratum))
  list(code = code, events = as.vector(rowsum(at$y, code, reorder = TRUE)))
}

set_sums <- function(x, code) rowsum(x, code, reorder = TRUE)

# Shares of exp(eta) in its set, times the events of the set; and log S.
share_sums <- function(eta, sets) {
  # exp() must not overflow: any number near the set's largest will do.
  shift <- set_largest(eta, sets$code)
  r <- exp(eta - shift[sets$code])
  total <- as.vector(set_sums(r, sets$code))
  list(share = r / total[sets$code], log_sum = log(total) + shift)
}

set_largest <- function(eta, code) {
  at <- order(code, eta, method = "radix")
  eta[at[cumsum(tabulate(code))]]
}

set_shares <- function(eta, at) {
  sets <- set_codes(at)
  share_sums(eta, sets)$share * sets$events[sets$code]
}

set_derivatives <- function(z, at) {
  y <- at$y
  sets <- set_codes(at)
  code <- sets$code
  # Centred, sums lose fewer digits.
  z <- sweep(z, 2L, colMeans(z))
  first <- match(seq_along(sets$events), code)
  function(beta, u) {
    eta <- drop(z %*% beta) + at$offset
    found <- share_sums(eta, sets)
    weight <- u[first] * sets$events
    share <- found$share
    mean <- set_sums(share * z, code)
    list(
      loglik = sum(u * y * eta) - sum(weight * found$log_sum),
      score = drop(crossprod(z, u * (y - sets$events[code] * share))),
      info = crossprod(z, (weight[code] * share) * z) -
        crossprod(mean * sqrt(weight))
    )
  }
}

# ---- several events in a set, in no order -----------------------------------

# With x = exp(eta), e_k(x_1, ..., x_n) = e_k(.., x_(n-1)) + x_n e_(k-1)(..,
# x_(n-1)) are the sums over the ways to choose k rows (Gail, Lubin and
# Rubinstein 1981, Biometrika 68, 703-707); their derivatives by the same rule.
# All sets go through it together, one row of each at a time.
exact_layout <- function(at) {
  sets <- set_codes(at)
  order <- order(sets$code, method = "radix")
  size <- tabulate(sets$code)
  place <- sequence(size)
  row <- matrix(NA_integer_, length(size), max(size))
  row[cbind(sets$code[order], place)] <- order
  c(sets, list(row = row, size = size))
}

# eta, lowered by the largest of each set, as sets x rows; 0 beyond its rows.
exact_risks <- function(eta, layout) {
  largest <- set_largest(eta, layout$code)
  x <- exp(eta - largest[layout$code])
  risks <- matrix(x[layout$row], nrow(layout$row))
  risks[is.na(risks)] <- 0
  list(x = risks, largest = largest)
}

exact_derivatives <- function(z, at) {
  layout <- exact_layout(at)
  y <- at$y
  z <- sweep(z, 2L, colMeans(z))
  p <- ncol(z)
  d <- layout$events
  n_sets <- length(d)
  pairs <- expand.grid(a = seq_len(p), b = seq_len(p))
  first <- layout$row[, 1L]
  own <- cbind(seq_len(n_sets), d + 1L)
  function(beta, u) {
    eta <- drop(z %*% beta) + at$offset
    risk <- exact_risks(eta, layout)
    e <- matrix(0, n_sets, max(d) + 1L)
    e[, 1L] <- 1
    slope <- rep(list(matrix(0, n_sets, p)), max(d) + 1L)
    curve <- rep(list(matrix(0, n_sets, p^2)), max(d) + 1L)
    for (j in seq_len(ncol(layout$row))) {
      x <- risk$x[, j]
      at_j <- z[pmax(layout$row[, j], 1L, na.rm = TRUE), , drop = FALSE]
      square <- at_j[, pairs$a, drop = FALSE] * at_j[, pairs$b, drop = FALSE]
      for (k in rev(seq_len(max(d)))) {
        below <- slope[[k]]
        curve[[k + 1L]] <- curve[[k + 1L]] + x * (
          curve[[k]] + e[, k] * square +
            below[, pairs$a, drop = FALSE] * at_j[, pairs$b, drop = FALSE] +
            below[, pairs$b, drop = FALSE] * at_j[, pairs$a, drop = FALSE]
        )
        slope[[k + 1L]] <- slope[[k + 1L]] + x * (below + e[, k] * at_j)
        e[, k + 1L] <- e[, k + 1L] + x * e[, k]
      }
    }
    total <- e[own]
    mean <- matrix(0, n_sets, p)
    second <- matrix(0, n_sets, p^2)
    for (k in unique(d)) {
      some <- d == k
      mean[some, ] <- slope[[k + 1L]][some, , drop = FALSE] / total[some]
      second[some, ] <- curve[[k + 1L]][some, , drop = FALSE] / total[some]
    }
    weight <- u[first]
    list(
      loglik = sum(u * y * eta) -
        sum(weight * (log(total) + d * risk$largest)),
      score = drop(crossprod(z, u * y)) - colSums(weight * mean),
      info = matrix(colSums(weight * second), p) -
        crossprod(mean * sqrt(weight))
    )
  }
}

# The chance of every row to be among those chosen: x times the sum over the
# ways to choose one less from the others.
exact_shares <- function(eta, at) {
  layout <- exact_layout(at)
  risk <- exact_risks(eta, layout)
  d <- layout$events
  sums <- function(x) {
    e <- matrix(0, length(d), max(d) + 1L)
    e[, 1L] <- 1
    for (j in seq_len(ncol(x))) for (k in rev(seq_len(max(d)))) {
      e[, k + 1L] <- e[, k + 1L] + x[, j] * e[, k]
    }
    e
  }
  total <- sums(risk$x)[cbind(seq_along(d), d + 1L)]
  share <- numeric(length(eta))
  for (j in seq_len(ncol(layout$row))) {
    there <- which(!is.na(layout$row[, j]))
    others <- sums(risk$x[, -j, drop = FALSE])[cbind(seq_along(d), d)]
    share[layout$row[there, j]] <- (risk$x[, j] * others / total)[there]
  }
  share
}
