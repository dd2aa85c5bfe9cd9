// AddressSanitizer may be in the program and not in the library: no false alarm, whoever compiled what is called.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory_resource>
#include <string>
#include <thread>
import buffers;

// Missing where this program is built without AddressSanitizer as well.
extern "C" [[gnu::weak]] int __asan_address_is_poisoned(const volatile void*);

namespace {

void fill(std::pmr::memory_resource& memory) {
  for (std::size_t bytes : {1uz, 8uz, 24uz, 100uz, 5000uz, 100'000uz}) std::memset(memory.allocate(bytes), 1, bytes);
  std::memset(memory.allocate(100, 1024), 1, 100);
  std::pmr::map<int, std::pmr::string> names{&memory};
  for (int i = 0; i < 100; ++i) names.emplace(i, "a long string that does not fit into the object itself");
  for (int i = 0; i < 100; i += 2) names.erase(i);
  for (int i = 0; i < 100; ++i) names.emplace(i, "another one, in memory that was given back perhaps");
}

/// Calls of both kinds: what this program poisons, the library's functions hand out again.
template <class Buffer>
void fill_twice(Buffer& buffer) {
  {
    buffers::scope inner{buffer};
    fill(buffer);
    buffer.deallocate(buffer.allocate(100), 100);
  }
  fill(buffer);
}

/// The library hands the same block out again, for a larger request of its size class.
[[gnu::noinline]] void use_again(std::pmr::memory_resource& memory) {
  for (std::size_t alignment : {8uz, 64uz})
    for (std::size_t bytes : {1uz, 7uz, 16uz, 17uz, 32uz, 33'000uz, 40'000uz, 1'500'000uz, 2'000'000uz}) {
      void* const block = memory.allocate(bytes, alignment);
      std::memset(block, 1, bytes);
      memory.deallocate(block, bytes, alignment);
    }
}

template <class Pool>
void give_back_and_fill(Pool& pool) {
  use_again(pool);
  std::thread([&] { use_again(pool); }).join();
  for (std::size_t bytes : {1uz, 8uz, 24uz, 100uz, 5000uz, 100'000uz}) pool.deallocate(pool.allocate(bytes), bytes);
  fill(pool);
}

/// What a container gives back to a buffer is watched, the newest block or not.
void is_watched(std::pmr::memory_resource& memory) {
  if (__asan_address_is_poisoned == nullptr) return;
  void* const first = memory.allocate(100);
  void* const second = memory.allocate(100);
  for (void* block : {first, second}) {
    memory.deallocate(block, 100);
    if (__asan_address_is_poisoned(block)) continue;
    std::puts("freed memory of a buffer is not poisoned");
    std::exit(1);
  }
}

}  // namespace

int main() {
  buffers::bump_resource bump{1 << 20};
  fill_twice(bump);
  is_watched(bump);
  bump.deallocate(nullptr, std::size_t{1} << 40);
  buffers::slab_resource slab;
  fill_twice(slab);
  is_watched(slab);
  fill_twice(buffers::default_buffer());
  buffers::meter_resource metered{&slab};
  fill(metered);
  buffers::synchronized_resource synchronized{&bump};
  fill(synchronized);
  buffers::aligned_resource aligned{64, &slab};
  fill(aligned);
  buffers::pool_resource pool;
  give_back_and_fill(pool);
  pool.clear();
  give_back_and_fill(pool);
  buffers::concurrent_pool_resource concurrent_pool;
  give_back_and_fill(concurrent_pool);
}
