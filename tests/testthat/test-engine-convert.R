# What crosses, in which form: facts of reticulate 1.28 and later that would
# change data in silence.

test_that("vectors become 1-d arrays, of length 1 and 0 too", {
  expect_identical(to_engine(c(1, 2)), array(c(1, 2), 2L))
  expect_identical(to_engine(5), array(5, 1L))
  expect_identical(to_engine(integer()), array(integer(), 0L))
  expect_identical(to_engine(TRUE), array(TRUE, 1L))
  expect_identical(to_engine(c(a = 1)), array(1, 1L))
})

test_that("numbers, strings and NULL cross as such", {
  expect_identical(to_engine(5L, number = TRUE), 5L)
  expect_identical(to_engine("efron"), "efron")
  expect_identical(to_engine(c("a", "b")), list("a", "b"))
  expect_null(to_engine(NULL))
  expect_identical(to_engine(list(a = 1, b = list(2L))),
                   list(a = array(1, 1L), b = list(array(2L, 1L))))
})

test_that("a matrix is sent as it is", {
  x <- matrix(c(1, 2, 3, 4), 2L)
  expect_identical(to_engine(x), x)
})

test_that("what would arrive changed is refused, and named", {
  refused <- function(x, text) {
    error <- expect_error(to_engine(list(dose = x), "terms"),
                          class = "vigitensor_error_crossing")
    expect_match(conditionMessage(error), text, fixed = TRUE)
    expect_identical(error$arg, "terms$dose")
    expect_s3_class(error, "vigitensor_error_bug")
  }
  refused(NA, "1 missing value")
  refused(c(1L, NA, NA), "2 missing values")
  refused(NA_character_, "1 missing value")
  refused(factor("a"), "class factor")
  refused(Sys.Date(), "class Date")
  refused(data.frame(a = 1), "class data.frame")
  refused(structure(1, class = "integer64"), "class integer64")
  refused(1i, "type complex")
  refused(quote(a), "type symbol")
  # Missing doubles are NaN on both sides; the engine refuses these itself.
  expect_identical(as.vector(to_engine(c(1, NaN, NA))), c(1, NaN, NA))
})

test_that("results lose the dimension of a vector, and nothing else", {
  expect_identical(from_engine(list(a = array(1:3, 3L), m = matrix(1:4, 2L))),
                   list(a = 1:3, m = matrix(1:4, 2L)))
})

look <- "
from __future__ import annotations
import numpy as np
def look(a=None, n: int = 0, control: dict[str, float] | None = None):
    def tell(o):
        if isinstance(o, np.ndarray):
            return ' '.join([str(o.dtype), str(o.shape),
                             'F' if o.flags.f_contiguous else 'C',
                             'writeable' if o.flags.writeable else 'readonly'])
        if isinstance(o, dict):
            return {k: tell(v) for k, v in o.items()}
        if isinstance(o, (list, tuple)):
            return {str(k): tell(v) for k, v in enumerate(o)}
        return type(o).__name__ + ' ' + str(o)
    return {'a': tell(a), 'n': tell(n), 'control': tell(control)}
"

test_that("Python sees arrays, numbers and settings as meant", {
  skip_if_no_engine()
  local_engine_function("look", look)
  seen <- engine_call("look", a = list(1, 3:4, TRUE, "s", NULL, numeric()),
                      n = 3, control = list(max_iter = 50L, tol = 1e-13))
  expect_identical(unlist(seen$a, use.names = FALSE), c(
    "float64 (1,) F readonly", "int32 (2,) F readonly", "bool (1,) F readonly",
    "str s", "NoneType None", "float64 (0,) F readonly"
  ))
  expect_identical(seen$n, "float 3.0")
  expect_identical(seen$control, list(max_iter = "int 50", tol = "float 1e-13"))
  expect_identical(engine_call("look", control = list())$control,
                   named_list())
  expect_identical(engine_call("look", list(), 2L)$n, "int 2")
})

test_that("a matrix crosses without a copy, Fortran-ordered and read-only", {
  skip_if_no_engine()
  local_engine_function("look", look)
  expect_identical(engine_call("look", a = matrix(0, 3L, 2L))$a,
                   "float64 (3, 2) F readonly")
  local_engine_function(
    "address", "def address(x): return {'at': hex(x.ctypes.data)}"
  )
  x <- matrix(runif(6), 3L)
  at <- sub(".*@([0-9a-f]+).*", "\\1", utils::capture.output(
    .Internal(inspect(x))
  )[1L])
  # The data of an R vector begin 48 bytes after its header.
  expect_identical(strtoi(substring(engine_call("address", x)$at, 7L), 16L),
                   strtoi(substring(at, 5L), 16L) + 48L)
})

test_that("results of every kind come back right", {
  skip_if_no_engine()
  local_engine_function("give", "
import numpy as np
from typing import NamedTuple
class Pair(NamedTuple):
    a: float
    b: list
def give():
    return {
        'wide': 2**40, 'wides': np.array([1, 2**40]), 'list': [1, 2**40],
        'int32': np.array([3], dtype='i4'), 'int': 7,
        'bools': np.array([True, False]), 'bool': np.bool_(True),
        'nan': np.array([1.0, np.nan, np.inf]), 'scalar': np.float64(2.5),
        'float32': np.array([0.5], dtype='f4'), 'zero_d': np.array(4.0),
        'rows': np.arange(6.0).reshape(2, 3), 'none': None,
        'fits': [{'x': np.array([1.0])}], 'covered': [np.array([True])],
        'empty': np.zeros(0), 'words': ['a', 'b'], 'pair': Pair(1.0, [2, 3]),
    }
")
  given <- engine_call("give")
  expect_identical(given$wide, 2^40)
  expect_identical(given$wides, c(1, 2^40))
  expect_identical(given$list, c(1, 2^40))
  expect_identical(given$int32, 3L)
  expect_identical(given$int, 7L)
  expect_identical(given$bools, c(TRUE, FALSE))
  expect_identical(given$bool, TRUE)
  expect_identical(given$nan, c(1, NaN, Inf))
  expect_identical(given$scalar, 2.5)
  expect_identical(given$float32, 0.5)
  expect_identical(given$zero_d, 4)
  expect_identical(given$rows, matrix(c(0, 3, 1, 4, 2, 5), 2L))
  expect_true("none" %in% names(given))
  expect_null(given$none)
  expect_identical(given$fits, list(list(x = 1)))
  expect_identical(given$covered, list(TRUE))
  expect_identical(given$empty, numeric())
  expect_identical(given$words, c("a", "b"))
  expect_identical(given$pair, list(a = 1, b = 2:3))
})
