#' Use a cluster
#'
#' Connects to a Dask cluster, on which fits from a [claims_store()] and the
#' replicates of [bootstrap()] then run. Blocks of people live on the workers;
#' each pass of a fit moves sums by event time alone. The results are those of
#' one machine: the same bits for the same blocks, whatever the number of
#' workers. A worker that is lost has its blocks taken over by the others.
#'
#' The workers read the store at its path, so it must be in a folder that all of
#' them see, and they need the engine: `pip install` the folder that
#' `system.file("python", package = "vigitensor")` names, in the environment of
#' the workers. Processes of a local cluster find both by themselves.
#' `docs/scale.md` in the sources says how to start workers under Slurm and
#' Kubernetes.
#'
#' @param address `"tcp://host:8786"`, the address of a scheduler; `"local"`:
#'   processes of this machine; `NULL`: leave the cluster (a local one ends).
#' @param workers Number of processes of a local cluster; one per core by
#'   default.
#' @return A list of class `vigitensor_cluster`, invisibly for `NULL`: `in_use`,
#'   `workers`, `threads`, `local`.
#' @section Errors:
#' Classes `vigitensor_error_no_dask` (install it with
#' `install_engine(parts = "dask")`), `_no_cluster` (nobody answers),
#' `_cluster_engine` (workers without this version of the engine), and during a
#' fit `_no_workers`, `_workers_lost`. A fit that ended so goes on when called
#' again.
#' @export
#' @examples
#' \dontrun{
#' use_cluster("local", workers = 2)
#' fit <- wce(Surv(entry, exit, event) ~ sex + exposure("drug_a"), data = store,
#'            cutoff = 90)
#' use_cluster(NULL)
#' }
use_cluster <- function(address = "local", workers = NULL) {
  if (is.null(address)) {
    if (!is.null(.engine$bridge)) engine_call("cluster_leave")
    return(invisible(new_cluster(list(in_use = FALSE, workers = 0L,
                                      threads = 0L, local = FALSE))))
  }
  if (!rlang::is_string(address) ||
        !grepl("^(local|(tcp|tls|ucx)://.+)$", address)) {
    abort_input(
      "`address` must be the address of a scheduler, \"local\" or NULL.",
      x = if (rlang::is_string(address)) sprintf("It is \"%s\".", address),
      i = "Like \"tcp://node1:8786\".", arg = "address", code = "address"
    )
  }
  if (!is.null(workers) &&
        !(rlang::is_scalar_integerish(workers) && workers >= 1)) {
    abort_input("`workers` must be one whole number of at least 1.",
                arg = "workers", code = "workers")
  }
  need_part("dask")
  new_cluster(do.call(engine_call, c(
    list("cluster_connect", address = address),
    if (!is.null(workers)) list(workers = as.integer(workers))
  )))
}

new_cluster <- function(x) structure(x, class = "vigitensor_cluster")

#' @export
print.vigitensor_cluster <- function(x, ...) {
  if (!x$in_use) {
    cat("No cluster is in use.\n")
  } else {
    cat(sprintf("%s cluster: %s, %s\n", if (x$local) "Local" else "Dask",
                count_of(x$workers, "worker"), count_of(x$threads, "thread")))
  }
  invisible(x)
}
