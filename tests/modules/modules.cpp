// The tests that only a library of modules needs, in one program: each file beside this is a reader of its own kind.
#include <cstdio>
#include <exception>
#include <new>
import buffers;

int without_includes();
int with_all_includes();
int without_macros();
int every_export();
int sum_in_library(buffers::slab_resource& buffer);
buffers::slab_resource* default_in_library();
bool core_alone();
bool resources_alone();
bool threads_alone();
bool usage_alone();
bool tensor_alone();
bool testing_alone();

namespace {

int failures = 0;
void expect(bool holds, const char* what) {
  if (holds) return;
  std::printf("not so: %s\n", what);
  ++failures;
}

/// Thrown out of the library, caught here by its type, and by the types that it is derived from.
template <class E>
bool caught_as() {
  try {
    (void)buffers::bump_resource{64}.allocate(65);
  } catch (const E&) {
    return true;
  } catch (...) {
  }
  return false;
}

}  // namespace

int main() {
  buffers::slab_resource scratch;
  expect(without_includes() == 5 + 7 + 64, "a program needs no include");
  expect(with_all_includes() == 3, "all includes may come before the import");
  expect(without_macros() == 1, "no macro is visible");
  expect(every_export() > 0, "exported names can be used");
  expect(sum_in_library(scratch) == 100 && scratch.used() == 0, "a library takes the program's buffer");
  expect(default_in_library() == &buffers::default_buffer(), "a thread has one default buffer in all libraries");
  expect(core_alone() && resources_alone() && threads_alone() && tensor_alone() && testing_alone() && usage_alone(),
         "each room alone");
  expect(caught_as<buffers::exhausted>() && caught_as<std::bad_alloc>() && caught_as<std::exception>(),
         "caught by type");
  expect(!caught_as<buffers::order_error>(), "and by no other");
  return failures;
}
