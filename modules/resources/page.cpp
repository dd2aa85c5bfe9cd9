module;
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
module buffers.resources;

namespace buffers {

namespace {

constexpr std::size_t huge_page = 2 * 1024 * 1024;

// What the hardened build writes into the first page of a mapping.
struct note {
  const page_resource* owner;
  std::size_t bytes, alignment;
  bool operator==(const note&) const = default;
};

}  // namespace

page_resource::page_resource(const page_options& options) noexcept
    : options_(options),
      page_(static_cast<std::size_t>(::sysconf(_SC_PAGESIZE))),
      in_front_((options.guard_pages ? page_ : 0) + (detail::hardened ? page_ : 0)),
      behind_(options.guard_pages ? page_ : 0) {}

void* page_resource::map(std::size_t bytes, std::size_t alignment) {
  const std::size_t payload = detail::round_up(bytes, page_);
  const bool huge = options_.huge_pages && payload >= huge_page;
  std::byte* const first = map_pages(payload, std::max({alignment, page_, huge ? huge_page : 0}));
  if (huge) static_cast<void>(::madvise(first, payload, MADV_HUGEPAGE));  // a wish: the system may have none
  if ((detail::hardened && !note_block(first, bytes, alignment)) || (options_.prefault && !prefault(first, payload))) {
    ::munmap(first - in_front_, in_front_ + payload + behind_);
    detail::throw_bad_alloc();
  }
  std::size_t used;
  static_cast<void>(count_.reserve(bytes, SIZE_MAX, used));
  count_.raise_peak(used);
  mapped_.fetch_add(payload, std::memory_order_relaxed);
  // At the end, so that the guard page is where the block ends.
  const std::size_t before =
      options_.guard_pages && alignment < page_ ? payload - detail::round_up(bytes, alignment) : 0;
  return first + before;
}

void page_resource::unmap(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  const std::size_t payload = (bytes + page_ - 1) & ~(page_ - 1);
  std::byte* const first = static_cast<std::byte*>(block) - (detail::address(block) & (page_ - 1));
  if constexpr (detail::hardened) strike_note(first, bytes, alignment);
  count_.give_back(bytes);  // before another thread may have it
  mapped_.fetch_sub(payload, std::memory_order_relaxed);
  // It cannot take a piece out of a mapping when there are as many mappings as there may be: then give the memory back,
  // if not the addresses.
  if (::munmap(first - in_front_, in_front_ + payload + behind_) != 0) ::madvise(first, payload, MADV_DONTNEED);
}

// Whole pages that begin at a multiple of the boundary, between those in front and behind.
std::byte* page_resource::map_pages(std::size_t bytes, std::size_t boundary) const {
  const std::size_t total = detail::add_bytes(detail::add_bytes(bytes, in_front_ + behind_), boundary - page_);
  const bool is_exact = total == bytes;
  void* const mapped =
      ::mmap(nullptr, total, is_exact ? PROT_READ | PROT_WRITE : PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  if (mapped == MAP_FAILED) detail::throw_bad_alloc();
  std::byte* begin = static_cast<std::byte*>(mapped);
  if (is_exact) return begin;
  // Cut off what is too much around them.
  std::byte* end = begin + total;
  std::byte* const first =
      begin + (detail::round_up(detail::address(begin) + in_front_, boundary) - detail::address(begin));
  const auto cut = [](std::byte* from, std::byte* to) {
    return from == to || ::munmap(from, static_cast<std::size_t>(to - from)) == 0;
  };
  bool done = cut(begin, first - in_front_);
  if (done) begin = first - in_front_;
  if (done && (done = cut(first + bytes + behind_, end))) end = first + bytes + behind_;
  if (done && ::mprotect(first, bytes, PROT_READ | PROT_WRITE) == 0) return first;
  ::munmap(begin, static_cast<std::size_t>(end - begin));
  detail::throw_bad_alloc();
}

// False when there is not enough memory.
bool page_resource::prefault(std::byte* first, std::size_t bytes) const noexcept {
  if (::madvise(first, bytes, MADV_POPULATE_WRITE) == 0) return true;
  if (errno != EINVAL) return false;
  // A kernel before 5.14 does not know that.
  for (std::byte* page = first; page != first + bytes; page += page_) *static_cast<volatile std::byte*>(page) = {};
  return true;
}

// --- the hardened build

// False when there is not enough memory.
bool page_resource::note_block(std::byte* first, std::size_t bytes, std::size_t alignment) const noexcept {
  std::byte* const front = first - in_front_;
  if (::mprotect(front, page_, PROT_READ | PROT_WRITE) != 0) return false;
  ::new (front) note{this, bytes, alignment};
  return true;
}

void page_resource::strike_note(std::byte* first, std::size_t bytes, std::size_t alignment) const noexcept {
  std::byte* const front = first - in_front_;
  // Fails where nothing is mapped. Where it is another's page that may now be touched, the program ends.
  const bool is_mapped = ::mprotect(front, page_, PROT_READ | PROT_WRITE) == 0;
  auto* const noted = is_mapped ? reinterpret_cast<note*>(front) : nullptr;
  if (noted == nullptr || noted->owner != this)
    detail::violate("deallocate: the block is not from this page_resource, or was given back before");
  if (*noted != note{this, bytes, alignment})
    detail::violate("deallocate: the size or alignment is not the one that the block was allocated with");
  *noted = {};  // where the mapping has to stay
}

}  // namespace buffers
