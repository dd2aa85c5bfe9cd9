// A program that includes nothing: it can make, index and return what the module's templates make, and catch.
import buffers;

int without_includes() {
  buffers::slab_resource scratch;
  auto a = buffers::alloc<int>(scratch, 3, 4);
  a[2, 3] = 5;
  const int value = buffers::no_escape(scratch, [](auto& buffer) {
    auto b = buffers::alloc<int>(buffer, 2);
    b[1] = 7;
    return b[1];
  });
  try {
    (void)buffers::bump_resource{64}.allocate(65);
  } catch (const buffers::exhausted& e) {
    return a[2, 3] + value + static_cast<int>(e.available());
  }
  return 0;
}
