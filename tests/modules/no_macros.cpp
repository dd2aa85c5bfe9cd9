// A module exports no macro: not the library's own, and none of the headers that it is made with.
import buffers;
import buffers.testing;

#if defined(Expects) || defined(Ensures) || defined(GSL_LIKELY) || defined(GSL_SUPPRESS)
#error "a macro of GSL is visible"
#endif
#if defined(TBB_VERSION_MAJOR) || defined(__TBB_CPP17_PRESENT)
#error "a macro of oneTBB is visible"
#endif
#if defined(BUFFERS_ASAN) || defined(assert) || defined(SIZE_MAX) || defined(PROT_READ)
#error "a macro of the library or of the system is visible"
#endif

int without_macros() {
  enum { Expects, Ensures };
  return Ensures;
}
