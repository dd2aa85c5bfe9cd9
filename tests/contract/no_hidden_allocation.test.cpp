// Nothing is allocated behind the user's back: the global heap, the default resource and upstream are watched at once.
#include <unistd.h>

#include <atomic>
#include <boost/core/demangle.hpp>
#include <boost/mpl/list.hpp>
#include <boost/test/data/test_case.hpp>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <memory_resource>
#include <new>
#include <ostream>
#include <span>
#include <string>
#include <typeinfo>
#include <utility>
#include <vector>
import buffers;
import buffers.testing;
#include "contract/table.hpp"

namespace {

std::size_t global_allocations = 0;

void* from_the_heap(std::size_t bytes, std::size_t alignment) {
  ++global_allocations;
  void* const block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (block == nullptr) throw std::bad_alloc();
  return block;
}

}  // namespace

void* operator new(std::size_t bytes) { return from_the_heap(bytes, alignof(std::max_align_t)); }
void* operator new(std::size_t bytes, std::align_val_t alignment) {
  return from_the_heap(bytes, static_cast<std::size_t>(alignment));
}
// Every form that the program uses: AddressSanitizer's own do not call the ones above.
void* operator new(std::size_t bytes, std::align_val_t alignment, const std::nothrow_t&) noexcept try {
  return from_the_heap(bytes, static_cast<std::size_t>(alignment));
} catch (const std::bad_alloc&) {
  return nullptr;
}
void operator delete(void* block) noexcept { std::free(block); }
void operator delete(void* block, std::size_t) noexcept { std::free(block); }
void operator delete(void* block, std::align_val_t) noexcept { std::free(block); }
void operator delete(void* block, std::size_t, std::align_val_t) noexcept { std::free(block); }

namespace {

/// An upstream that does not use operator new.
struct counting_upstream : std::pmr::memory_resource {
  std::size_t live = 0;

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override {
    void* const block = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
    if (block == nullptr) throw std::bad_alloc();
    ++live;
    return block;
  }
  void do_deallocate(void* block, std::size_t, std::size_t) override {
    --live;
    std::free(block);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(no_hidden_allocation)

BOOST_AUTO_TEST_CASE(the_global_heap_is_watched) {
  const std::size_t before = global_allocations;
  ::operator delete(::operator new(10));
  ::operator delete(::operator new(10, std::align_val_t{64}), std::align_val_t{64});
  BOOST_TEST(global_allocations == before + 2);
}

BOOST_AUTO_TEST_CASE_TEMPLATE(in_a_whole_life_of_an_arena, K, arenas) {
  counting_upstream own;
  buffers::test_resource by_default;
  std::size_t failures = 0;
  const std::size_t before = global_allocations;
  {
    buffers::default_resource_guard replaced(&by_default);
    typename K::kind of(64 * 1024, &own);
    auto& resource = of.resource;
    auto& face = K::face(of);
    for (int round = 0; round < 3; ++round) {
      for (std::size_t bytes = 1; bytes < 3000; bytes = bytes * 2 + 1) (void)face.allocate(bytes, 32);
      void* const large = face.allocate(20'000, 64);
      face.deallocate(large, 20'000, 64);
      const auto cp = resource.checkpoint();
      {
        buffers::scope inner{resource};
        std::pmr::vector<int> numbers(100, 7, &resource);
        const auto a = buffers::alloc<double>(resource, 10, 10);
        const auto b = buffers::alloc<double>(resource, 10);
        buffers::drop(resource, a, b);
      }
      try {
        (void)face.allocate(SIZE_MAX / 4);
      } catch (const std::bad_alloc&) {
        ++failures;
      }
      resource.restore(cp);
      (void)resource.trim(0);
      resource.reset();
      (void)resource.trim(0);
      if (round == 1) resource.release();
    }
  }
  const std::size_t hidden = global_allocations - before;
  BOOST_TEST(hidden == 0u);
  BOOST_TEST(failures == 3u);
  BOOST_TEST(by_default.allocations() == 0u);
  BOOST_TEST(own.live == 0u);
}

BOOST_DATA_TEST_CASE(in_a_whole_life, boost::unit_test::data::make(table()), e) {
  counting_upstream own;
  buffers::test_resource by_default;
  std::size_t failures = 0;
  const std::size_t before = global_allocations;
  {
    buffers::default_resource_guard replaced(&by_default);
    const auto of = e.make(64 * 1024, &own);
    const auto allocate = [&](std::size_t bytes, std::size_t alignment) {
      return e.through_base ? of->base().allocate(bytes, alignment) : of->allocate(bytes, alignment);
    };
    struct {
      void* block;
      std::size_t bytes;
    } live[100];
    std::size_t count = 0;
    for (int round = 0; round < 3; ++round) {
      for (std::size_t bytes = 1; bytes < 3000; bytes = bytes * 2 + 1) live[count++] = {allocate(bytes, 32), bytes};
      live[count++] = {allocate(20'000, 64), 20'000};
      {
        std::pmr::vector<int> numbers(100, 7, &of->base());
      }
      try {
        (void)allocate(SIZE_MAX / 4, 8);
      } catch (const std::bad_alloc&) {
        ++failures;
      }
      for (; count != 0; --count) {
        const auto [block, bytes] = live[count - 1];
        of->deallocate(block, bytes, bytes == 20'000 ? 64 : 32);
      }
    }
  }
  const std::size_t hidden = global_allocations - before;
  BOOST_TEST(hidden == 1u);  // the subject of the test itself
  BOOST_TEST(failures == 3u);
  BOOST_TEST(by_default.allocations() == 0u);
  BOOST_TEST(own.live == 0u);
}

BOOST_AUTO_TEST_CASE(an_exhausted_is_made_without_allocating) {
  alignas(64) std::byte memory[64];
  buffers::bump_resource buffer{std::span(memory)};
  const std::size_t before = global_allocations;
  std::size_t requested = 0;
  try {
    (void)buffer.allocate(65);
  } catch (const buffers::exhausted& full) {
    requested = full.requested();
  }
  BOOST_TEST(global_allocations - before == 0u);
  BOOST_TEST(requested == 65u);
}

BOOST_AUTO_TEST_SUITE_END()
