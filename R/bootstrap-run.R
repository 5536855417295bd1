# Replicates in chunks: with progress, interruption and a file to go on from.
#
# replicates  a plain list over replicates 1, 2, ...: coefficients (B x p),
#             loglik (B), reason (B; "ok" or why it failed), and `row` (B; row
#             of the fit's grid, NA where all failed) when knots were chosen
# task        list(run = function(first, count) -> replicates, bytes = memory
#             that one replicate takes while it is computed)

# done: replicates computed before, or NULL; keep: function(replicates) called
# after every chunk. Replicates do not depend on how they are cut into chunks.
run_replicates <- function(task, times, done = NULL, keep = NULL,
                           progress = NULL) {
  finished <- count_replicates(done)
  bar <- progress_bar(times, "Bootstrap ", progress, from = finished)
  on.exit(bar$done())
  wanted <- 8L
  most <- max(1, floor(256e6 / task$bytes))
  tryCatch(
    while (finished < times) {
      count <- min(wanted, most, times - finished)
      began <- proc.time()[["elapsed"]]
      part <- task$run(finished + 1, count)
      wanted <- next_count(count, proc.time()[["elapsed"]] - began)
      done <- bind_replicates(done, part)
      finished <- finished + count
      if (!is.null(keep)) keep(done)
      bar$step(count)
    },
    interrupt = function(condition) {
      bar$done()
      if (!is.null(keep)) {
        rlang::inform(
          c(sprintf("Interrupted: %s of %s replicates are in `file`.",
                    format_count(finished), format_count(times)),
            i = "The same call goes on from there."),
          class = "vigitensor_message_interrupted", use_cli_format = TRUE
        )
      }
      rlang::interrupt()
    }
  )
  done
}

# Every chunk prepares the data anew, so chunks grow until they take five
# seconds, ten at most: what is lost when a run is killed. An engine answers
# Ctrl-C within a chunk.
next_count <- function(count, seconds) {
  growth <- if (seconds < 0.15) 32L else if (seconds < 1.25) 4L else
    if (seconds < 5) 2L else 1L
  as.integer(count * growth)
}

count_replicates <- function(x) if (is.null(x)) 0 else length(x$reason)

bind_replicates <- function(x, y) {
  if (is.null(x)) return(y)
  out <- Map(function(a, b) if (is.matrix(a)) rbind(a, b) else c(a, b), x,
             y[names(x)])
  out
}

first_replicates <- function(x, n) {
  lapply(x, function(a) {
    if (is.matrix(a)) a[seq_len(n), , drop = FALSE] else a[seq_len(n)]
  })
}

# ---- a file to go on from ---------------------------------------------------

# With a file: reads what it holds, runs the rest, writes after every chunk.
# problem, settings: what the replicates depend on (see fingerprint()).
resume_replicates <- function(task, times, file, problem, settings, progress) {
  if (is.null(file)) return(run_replicates(task, times, progress = progress))
  print <- c(problem = fingerprint(problem), settings = fingerprint(settings))
  done <- read_replicates(file, print)
  have <- count_replicates(done)
  if (have >= times) return(first_replicates(done, times))
  keep <- function(replicates) {
    write_whole(list(format = file_format, seed = settings$seed,
                     fingerprint = print, replicates = replicates), file)
  }
  run_replicates(task, times, done, keep, progress)
}

file_format <- "vigitensor bootstrap, 1"

check_file <- function(file) {
  if (is.null(file)) return(NULL)
  if (!rlang::is_string(file) || !nzchar(file) ||
        !dir.exists(dirname(file)) || dir.exists(file)) {
    abort_input("`file` must be the name of a file in a folder that exists.",
                x = sprintf("It is %s.", what_is(file)), arg = "file",
                code = "bootstrap_file")
  }
  file
}

# Value: list(fingerprint, seed, replicates), or NULL when there is no file.
read_file <- function(file) {
  if (is.null(file) || !file.exists(file)) return(NULL)
  found <- tryCatch(suppressWarnings(readRDS(file)), error = function(e) NULL)
  if (is.list(found) && identical(found$format, file_format)) return(found)
  abort_input("`file` is not a file of `bootstrap()`, or it is damaged.",
              i = "Name another file, or delete this one.",
              arg = "file", code = "bootstrap_file")
}

read_replicates <- function(file, print) {
  found <- read_file(file)
  if (is.null(found)) return(NULL)
  other <- names(print)[found$fingerprint[names(print)] != print]
  if (length(other)) {
    words <- c(problem = "other data or another model",
               settings = "other settings (kind, strata, method, seed, ...)")
    abort_input(
      sprintf("`file` holds replicates of %s.", format_list(words[other])),
      i = "Name another file, or delete this one.",
      arg = "file", code = "bootstrap_file"
    )
  }
  found$replicates
}

# Written beside its place and then moved there: a file is whole or is not.
write_whole <- function(x, file) {
  part <- paste0(file, ".part")
  saveRDS(x, part)
  if (!file.rename(part, file)) {
    abort_input("The replicates could not be written to `file`.",
                i = "Is there space on the disk, and are you allowed to?",
                arg = "file", code = "bootstrap_file")
  }
}

# A hash of plain lists, vectors and matrices, by value: vectors that R keeps in
# a compact form have the hash of the same vector written out.
fingerprint <- function(x) {
  if (is.list(x)) {
    return(rlang::hash(c(names(x), vapply(x, fingerprint, ""))))
  }
  # The first 14 bytes are the versions of R.
  rlang::hash(serialize(x, NULL, xdr = FALSE, version = 2L)[-(1:14)])
}
