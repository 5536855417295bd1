`%||%` <- function(x, y) if (is.null(x)) y else x

# Evaluates `code` with R's default generators started from `seed`, and puts
# the caller's generator back.
with_random_seed <- function(seed, code) {
  place <- globalenv()
  old <- place[[".Random.seed"]]
  on.exit({
    if (is.null(old)) rm(".Random.seed", envir = place) else
      assign(".Random.seed", old, envir = place)
  })
  set.seed(seed, "Mersenne-Twister", "Inversion", "Rejection")
  force(code)
}
