module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <string>
#include <utility>
module buffers.testing;

namespace buffers {

namespace {

constexpr std::size_t fence = 64, widest_fence = 4096;  // where a strict alignment leaves more, the rest is not touched
constexpr unsigned char fence_byte = 0xb1, fresh_byte = 0xa5, freed_byte = 0xdd;

}  // namespace

// Apart from the block, so that the block can lie at an odd multiple of its alignment.
struct test_resource::header {
  header* next;
  unsigned char* memory;
  std::size_t memory_bytes, memory_alignment;
  unsigned char* block;
  std::size_t bytes, alignment, number;

  [[nodiscard]] unsigned char* end() const { return block + bytes; }
  [[nodiscard]] unsigned char* first_watched() const {
    return block - std::min(widest_fence, static_cast<std::size_t>(block - memory));
  }
  [[nodiscard]] unsigned char* end_of_watched() const {
    return end() + std::min(widest_fence, static_cast<std::size_t>(memory + memory_bytes - end()));
  }
};

test_resource::~test_resource() {
  for (header*& list : live_)
    while (list != nullptr) free(std::exchange(list, list->next));
}

test_resource::header*& test_resource::list_of(const void* block) noexcept {
  constexpr std::uint64_t golden_ratio = 0x9e3779b97f4a7c15;  // Fibonacci hashing: Knuth, volume 3, 6.4
  return live_[(reinterpret_cast<std::uintptr_t>(block) * golden_ratio) >> (64 - std::countr_zero(lists))];
}

void test_resource::free(header* block) noexcept {
  std::memset(block->block, freed_byte, block->bytes);
  ::operator delete(block->memory, std::align_val_t{block->memory_alignment});
  delete block;
}

void test_resource::mistake(const std::string& what) {
  if (mistakes_++ == 0) first_mistake_ = what;
}

void* test_resource::do_allocate(std::size_t bytes, std::size_t alignment) {
  if (!std::has_single_bit(alignment))
    throw std::invalid_argument("buffers: alignment " + std::to_string(alignment) + " is not a power of two");
  last_bytes_ = bytes;
  last_alignment_ = alignment;
  if (limit_ == 0) {
    ++refusals_;
    throw std::bad_alloc();
  }
  // Room for the fences, and for the block at a multiple of its alignment that is no multiple of twice that.
  const std::size_t front = std::max(fence, alignment);
  if (alignment > PTRDIFF_MAX / 8) throw std::bad_alloc();  // else the next line overflows
  if (bytes > PTRDIFF_MAX - 4 * front - fence) throw std::bad_alloc();
  const std::size_t memory_bytes = bytes + 2 * front + fence, memory_alignment = 2 * front;
  // Not the operator new that throws: ThreadSanitizer's ends the program instead.
  auto* const memory =
      static_cast<unsigned char*>(::operator new(memory_bytes, std::align_val_t{memory_alignment}, std::nothrow));
  if (memory == nullptr) throw std::bad_alloc();
  unsigned char* const block = memory + (front > alignment ? front + alignment : front);
  header* made;
  try {
    made = new header{list_of(block), memory, memory_bytes, memory_alignment, block, bytes, alignment, allocations_};
  } catch (...) {
    ::operator delete(memory, std::align_val_t{memory_alignment});
    throw;
  }
  std::fill(made->first_watched(), made->end_of_watched(), fence_byte);
  std::fill(made->block, made->end(), fresh_byte);
  list_of(block) = made;
  if (limit_ > 0) --limit_;
  ++allocations_;
  ++live_blocks_;
  live_bytes_ += bytes;
  total_bytes_ += bytes;
  peak_bytes_ = std::max(peak_bytes_, live_bytes_);
  return block;
}

void test_resource::check_fences(const header& block) {
  const auto broken = [](unsigned char byte) { return byte != fence_byte; };
  if (std::any_of(block.first_watched(), block.block, broken))
    mistake("allocation " + std::to_string(block.number) + " was written to before its first byte");
  if (std::any_of(block.end(), block.end_of_watched(), broken))
    mistake("allocation " + std::to_string(block.number) + " was written to after its last byte");
}

void test_resource::do_deallocate(void* pointer, std::size_t bytes, std::size_t alignment) {
  ++deallocations_;
  if (pointer == nullptr) return;
  header** at = &list_of(pointer);
  while (*at != nullptr && (*at)->block != pointer) at = &(*at)->next;
  if (*at == nullptr) return mistake("a block was deallocated that is not allocated here");
  header* const block = *at;
  // Only for a mistake: a string may have to allocate, and a destructor that calls this must not throw.
  const auto name = [&] { return "allocation " + std::to_string(block->number); };
  if (block->bytes != bytes)
    mistake(name() + " of " + std::to_string(block->bytes) + " bytes was deallocated as " + std::to_string(bytes));
  if (block->alignment != alignment)
    mistake(name() + " with alignment " + std::to_string(block->alignment) + " was deallocated with " +
            std::to_string(alignment));
  check_fences(*block);
  *at = block->next;
  --live_blocks_;
  live_bytes_ -= block->bytes;
  free(block);
}

std::size_t detail::exception_test_loop(const std::function<void(std::pmr::memory_resource&)>& code,
                                        std::size_t most_runs) {
  for (std::size_t run = 0; run < most_runs; ++run) {
    test_resource memory;
    memory.set_allocation_limit(static_cast<std::int64_t>(run));
    try {
      code(memory);
    } catch (const std::bad_alloc&) {
      if (memory.refusals() == 0) throw;  // not one that the limit made
    }
    const std::string when = " with a limit of " + std::to_string(run) + " allocations";
    if (memory.mistakes() != 0) throw std::logic_error("exception_test_loop: " + memory.first_mistake() + when);
    if (memory.live_blocks() != 0)
      throw std::logic_error("exception_test_loop: " + std::to_string(memory.live_blocks()) +
                             (memory.live_blocks() == 1 ? " block leaked" : " blocks leaked") + when);
    if (memory.refusals() == 0) return run + 1;  // not when the code only returned: it may handle a failure itself
  }
  throw std::logic_error("exception_test_loop: not done after " + std::to_string(most_runs) + " runs");
}

}  // namespace buffers
