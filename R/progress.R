# A progress bar for work that takes more than two seconds.

# total: number of steps, `from` of them done before; label: what is being done,
# like "Bootstrap"; show: TRUE, FALSE or NULL (option `vigitensor.progress`,
# else interactive sessions alone). Value: list(step = function(n), done =
# function()); done() must be called, on.exit() is the place.
progress_bar <- function(total, label, show = NULL, from = 0) {
  nothing <- list(step = function(n) invisible(), done = function() invisible())
  if (!shows_progress(show) || total <= from) return(nothing)
  began <- proc.time()[["elapsed"]]
  # The bar belongs to this frame, which the two functions keep.
  frame <- environment()
  bar <- new.env(parent = emptyenv())
  bar$id <- NULL
  bar$now <- from
  list(
    step = function(n) {
      bar$now <- bar$now + n
      elapsed <- proc.time()[["elapsed"]] - began
      if (is.null(bar$id) && elapsed > 2 && bar$now < total) {
        bar$id <- cli::cli_progress_bar(
          label, total = total, clear = TRUE, .auto_close = FALSE,
          .envir = frame, format = paste(
            "{cli::pb_name}{cli::pb_bar} {cli::pb_current} of",
            "{cli::pb_total}{cli::pb_status}"
          )
        )
      }
      if (!is.null(bar$id)) {
        left <- elapsed / (bar$now - from) * (total - bar$now)
        cli::cli_progress_update(
          set = bar$now, id = bar$id, force = TRUE, .envir = frame,
          status = paste(", about", format_seconds(left), "left")
        )
      }
      invisible()
    },
    done = function() {
      if (!is.null(bar$id)) cli::cli_progress_done(bar$id, .envir = frame)
      bar$id <- NULL
      invisible()
    }
  )
}

format_seconds <- function(s) {
  if (s < 90) paste(ceiling(s), "s") else
    if (s < 5400) paste(round(s / 60), "min") else paste(round(s / 3600), "h")
}

shows_progress <- function(show) {
  show <- show %||% getOption("vigitensor.progress")
  if (is.null(show)) {
    return(interactive() && !identical(Sys.getenv("TESTTHAT"), "true"))
  }
  if (!rlang::is_bool(show)) {
    abort_input("`progress` must be TRUE, FALSE or NULL.",
                i = "So must be option `vigitensor.progress`.",
                arg = "progress", code = "progress")
  }
  show
}
