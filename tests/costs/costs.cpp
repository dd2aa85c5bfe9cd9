// One operation that is said to cost the same however much lies behind it, by its name and that amount: see run.
// Without arguments, prints the names.
#include <cstddef>
#include <cstdio>
#include <cstdlib>
#include <optional>
#include <string_view>
#include <type_traits>
#include <utility>
import buffers;

extern "C" {
// Callgrind counts in here only.
[[gnu::noinline]] void measured(void (*operation)(void*), void* state) { operation(state); }
}

namespace {

constexpr std::size_t block = 1000;

void fill(auto& buffer, std::size_t blocks) {
  for (std::size_t i = 0; i < blocks; ++i) static_cast<char*>(buffer.allocate(block))[0] = 1;
}

template <class F>
void measure(F operation) {
  measured([](void* state) { (*static_cast<F*>(state))(); }, &operation);
}

constexpr auto restore = [](auto& buffer, std::size_t amount) {
  fill(buffer, 1);
  const auto before = buffer.checkpoint();
  fill(buffer, amount);
  measure([&] { buffer.restore(before); });
};
constexpr auto close_scope = [](auto& buffer, std::size_t amount) {
  fill(buffer, 1);
  std::optional<buffers::scope<std::remove_reference_t<decltype(buffer)>>> inner(std::in_place, buffer);
  fill(buffer, amount);
  measure([&] { inner.reset(); });
};
constexpr auto reset = [](auto& buffer, std::size_t amount) {
  fill(buffer, amount);
  measure([&] { buffer.reset(); });
};
constexpr auto give_back_the_newest = [](auto& buffer, std::size_t amount) {
  fill(buffer, amount);
  void* const newest = buffer.allocate(block);
  measure([&] { buffer.deallocate(newest, block); });
};
constexpr auto give_back_and_take = [](auto& pool, std::size_t amount) {
  fill(pool, amount);
  void* const one = pool.allocate(block);
  measure([&] {
    pool.deallocate(one, block);
    static_cast<void>(pool.allocate(block));
  });
};

constexpr auto grow = [](auto& pool, std::size_t amount) {
  fill(pool, amount);
  measure([&] { fill(pool, 100); });
};

// A slab for each block.
template <auto Operation>
void in_slabs(std::size_t amount) {
  buffers::slab_resource buffer{{.first_slab = block, .growth = 1, .largest_slab = block}};
  Operation(buffer, amount);
}
template <auto Operation>
void in_bump(std::size_t amount) {
  buffers::bump_resource buffer{(amount + 2) * 1024};
  Operation(buffer, amount);
}
template <auto Operation>
void in_pool(std::size_t amount) {
  buffers::pool_resource pool;
  Operation(pool, amount);
}

// A chunk for 32 blocks.
template <auto Operation>
void in_chunks(std::size_t amount) {
  buffers::bump_resource memory{(amount + 1000) * 2 * 1024};
  buffers::pool_resource pool{{.largest_chunk = 64 * 1024}, &memory};
  Operation(pool, amount);
}

constexpr struct {
  const char* name;
  void (*run)(std::size_t amount);
} operations[] = {
    {"slab.restore", in_slabs<restore>},
    {"slab.scope", in_slabs<close_scope>},
    {"slab.reset", in_slabs<reset>},
    {"slab.newest", in_slabs<give_back_the_newest>},
    {"bump.restore", in_bump<restore>},
    {"bump.scope", in_bump<close_scope>},
    {"bump.reset", in_bump<reset>},
    {"bump.newest", in_bump<give_back_the_newest>},
    {"pool.again", in_pool<give_back_and_take>},
    {"pool.grow", in_chunks<grow>},
};

}  // namespace

int main(int argc, char** argv) {
  for (const auto& [name, run] : operations)
    if (argc < 3)
      std::puts(name);
    else if (std::string_view(name) == argv[1])
      return run(std::strtoul(argv[2], nullptr, 10)), 0;
  return argc < 3 ? 0 : 2;
}
