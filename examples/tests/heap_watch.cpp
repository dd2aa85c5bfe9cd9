// Linked to a program with -Wl,--wrap=main, this makes it fail when anything comes from the heap between the beginning
// and the end of main: through operator new, the C++ or the C library, for all of them end up in these functions.
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

// NOLINTBEGIN(bugprone-reserved-identifier): the names that the C library and the linker have for them
extern "C" {

void* __libc_malloc(std::size_t bytes);
void* __libc_calloc(std::size_t count, std::size_t bytes);
void* __libc_realloc(void* block, std::size_t bytes);
void* __libc_memalign(std::size_t alignment, std::size_t bytes);
int __real_main(int argc, char** argv);

}  // extern "C"

namespace {

bool in_main = false;
int taken_in_main = 0;

void note() { taken_in_main += in_main; }

}  // namespace

extern "C" {

void* malloc(std::size_t bytes) {
  note();
  return __libc_malloc(bytes);
}

void* calloc(std::size_t count, std::size_t bytes) {
  note();
  return __libc_calloc(count, bytes);
}

void* realloc(void* block, std::size_t bytes) {
  note();
  return __libc_realloc(block, bytes);
}

void* memalign(std::size_t alignment, std::size_t bytes) {
  note();
  return __libc_memalign(alignment, bytes);
}

void* aligned_alloc(std::size_t alignment, std::size_t bytes) { return memalign(alignment, bytes); }

int posix_memalign(void** block, std::size_t alignment, std::size_t bytes) {
  *block = memalign(alignment, bytes);
  return *block != nullptr ? 0 : ENOMEM;
}

int __wrap_main(int argc, char** argv) {
  in_main = true;
  const int exit_code = __real_main(argc, argv);
  in_main = false;
  if (taken_in_main == 0) return exit_code;
  constexpr char complaint[] = "main took memory from the heap\n";
  return write(STDERR_FILENO, complaint, std::strlen(complaint)) > 0 ? 99 : 98;
}

}  // extern "C"
// NOLINTEND(bugprone-reserved-identifier)
