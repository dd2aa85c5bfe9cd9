// A user's own resources: what they need to take part, and nothing of the library inside.
#include <array>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <memory_resource>
#include <new>
#include <stdexcept>
#include <vector>
import buffers;

namespace {

/// Not a memory_resource: a stack of doubles.
struct my_stack {
  alignas(64) std::array<std::byte, 1024> memory;
  std::size_t offset = 0;
  std::size_t deallocations = 0;

  void* allocate(std::size_t bytes, std::size_t alignment) {
    const std::size_t at = (offset + alignment - 1) / alignment * alignment;
    if (bytes > memory.size() - at) throw std::bad_alloc();
    offset = at + bytes;
    return memory.data() + at;
  }
  void deallocate(void* block, std::size_t bytes, std::size_t) {
    ++deallocations;
    if (static_cast<std::byte*>(block) + bytes == memory.data() + offset) offset -= bytes;
  }
  std::size_t checkpoint() const { return offset; }
  void restore(std::size_t to) { offset = to; }
};

/// A memory_resource, so that containers work on it.
struct my_resource : std::pmr::memory_resource {
  my_stack stack;
  std::size_t checkpoint() const { return stack.checkpoint(); }
  void restore(std::size_t to) { stack.restore(to); }

 private:
  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return stack.allocate(bytes, alignment); }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    stack.deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }
};

}  // namespace

BOOST_AUTO_TEST_SUITE(own_resource)

BOOST_AUTO_TEST_CASE(in_a_scope) {
  my_stack stack;
  (void)stack.allocate(8, 8);
  {
    buffers::scope outer{stack};
    (void)stack.allocate(8, 8);
    {
      buffers::scope inner{outer.resource()};
      (void)stack.allocate(8, 8);
    }
    BOOST_TEST(stack.offset == 16u);
  }
  BOOST_TEST(stack.offset == 8u);
}

BOOST_AUTO_TEST_CASE(in_a_scope_that_ends_by_an_exception) {
  my_stack stack;
  const auto fill = [&] {
    buffers::scope inner{stack};
    for (;;) (void)stack.allocate(100, 8);
  };
  BOOST_CHECK_THROW(fill(), std::bad_alloc);
  BOOST_TEST(stack.offset == 0u);
}

BOOST_AUTO_TEST_CASE(with_no_escape_and_alloc) {
  my_stack stack;
  const double sum = buffers::no_escape(stack, [](my_stack& inside) {
    auto x = buffers::alloc<double>(inside, 3);
    for (std::size_t i = 0; i < 3; ++i) x[i] = static_cast<double>(i + 1);
    return x[0] + x[1] + x[2];
  });
  BOOST_TEST(sum == 6.0);
  BOOST_TEST(stack.offset == 0u);
}

BOOST_AUTO_TEST_CASE(drop_deallocates_from_the_highest_address_down) {
  my_stack stack;
  auto a = buffers::alloc<double>(stack, 2);
  auto nothing = buffers::alloc<double>(stack, 0);
  auto b = buffers::alloc<double>(stack, 4);
  auto c = buffers::alloc_bytes(stack, 16);
  buffers::drop(stack, b, nothing, c, a);
  BOOST_TEST(stack.deallocations == 4u);  // what was allocated for no bytes, too
  BOOST_TEST(stack.offset == 0u);
}

BOOST_AUTO_TEST_CASE(under_a_typed_allocator) {
  my_stack stack;
  std::vector<int, buffers::allocator<int, my_stack>> numbers({1, 2, 3}, stack);
  BOOST_TEST(stack.offset == 12u);
  BOOST_TEST(numbers[2] == 3);
}

BOOST_AUTO_TEST_CASE(as_a_memory_resource) {
  my_resource resource;
  const std::size_t size = buffers::no_escape(resource, [](my_resource& inside) {
    std::pmr::vector<int> numbers({1, 2, 3}, &inside);
    return numbers.size() + inside.stack.offset;
  });
  BOOST_TEST(size == 15u);
  BOOST_TEST(resource.stack.offset == 0u);
}

BOOST_AUTO_TEST_CASE(any_memory_resource_serves_alloc_and_drop) {
  std::pmr::monotonic_buffer_resource memory;
  auto a = buffers::alloc<int>(memory, 4, 4);
  a[3, 3] = 5;
  BOOST_TEST((a[3, 3]) == 5);
  buffers::drop(memory, a);
}

BOOST_AUTO_TEST_SUITE_END()
