module;
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <new>
#include <stdexcept>
#include <string>
module buffers.core;

namespace buffers {

exhausted::exhausted(std::size_t requested, std::size_t available, std::size_t capacity, bool is_budget) noexcept
    : requested_(requested), available_(available), capacity_(capacity), is_budget_(is_budget) {
  std::snprintf(what_, sizeof what_, "buffers: exhausted: %zu bytes requested, %zu available, capacity %zu", requested,
                available, capacity);
}

const char* exhausted::what() const noexcept { return what_; }

namespace detail {

void violate(const char* what) noexcept {
  std::fprintf(stderr, "buffers: %s\n", what);
  std::abort();
}

void throw_bad_alloc() { throw std::bad_alloc(); }

void throw_bad_array_new_length() { throw std::bad_array_new_length(); }

void throw_negative(const char* what, std::ptrdiff_t value) {
  throw std::invalid_argument(std::string("buffers: ") + what + " is negative: " + std::to_string(value));
}

void throw_alignment(std::size_t alignment) {
  throw std::invalid_argument("buffers: alignment " + std::to_string(alignment) + " is not a power of two");
}

void throw_option(const char* field, const char* rule) {
  throw std::invalid_argument(std::string("buffers: ") + field + " " + rule);
}

}  // namespace detail
}  // namespace buffers
