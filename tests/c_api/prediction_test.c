/* Uses the C API as a C program would. Usage: prediction_test WEIGHTS FOLDER, where FOLDER is writable. */
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fer/c.h"

static int failures = 0;

#define CHECK(condition)                                                 \
  do {                                                                   \
    if (!(condition)) {                                                  \
      fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);    \
      fprintf(stderr, "  fer_last_error(): \"%s\"\n", fer_last_error()); \
      ++failures;                                                        \
    }                                                                    \
  } while (0)

#define CHECK_FAILS(call, status, message)                                      \
  do {                                                                          \
    CHECK((call) == (status));                                                  \
    if (strcmp(fer_last_error(), message) != 0) {                               \
      fprintf(stderr, "%s:%d: expected \"%s\"\n", __FILE__, __LINE__, message); \
      fprintf(stderr, "            got \"%s\"\n", fer_last_error());            \
      ++failures;                                                               \
    }                                                                           \
  } while (0)

enum { side = 64, classes = 8 };

/* A picture without a face, always the same. */
static void draw(unsigned char* pixels) {
  for (int i = 0; i < side * side * 3; ++i) pixels[i] = (unsigned char)((i * 37 + i / 191 * 11) % 256);
}

static void write_ppm(const char* path, const unsigned char* pixels) {
  FILE* file = fopen(path, "wb");
  if (file == NULL) exit(2);
  fprintf(file, "P6\n%d %d\n255\n", side, side);
  fwrite(pixels, 1, side * side * 3, file);
  fclose(file);
}

static void check_without_a_model(void) {
  CHECK(strcmp(fer_last_error(), "") == 0);
  CHECK(strcmp(fer_version(), FER_EXPECTED_VERSION) == 0);
  CHECK(fer_device_available("cpu") == 1);
  CHECK_FAILS(fer_device_available("tpu"), 0,
              "unknown device 'tpu'; known are cpu, simt, cuda; did you mean 'cpu'?");
  fer_model* model = (fer_model*)1;
  CHECK_FAILS(fer_load("no/such/file", NULL, &model), FER_ERROR_FILE,
              "cannot read 'no/such/file': No such file or directory");
  CHECK(model == NULL);
  CHECK_FAILS(fer_load("no/such/file", NULL, NULL), FER_ERROR_ARGUMENT,
              "fer_load: the place for the model is NULL");
  CHECK_FAILS(fer_class_count(NULL), 0, "fer_class_count: the model is NULL");
  CHECK_FAILS(fer_predict_file(NULL, "x", NULL, 0), FER_ERROR_ARGUMENT,
              "fer_predict_file: the model is NULL");
  CHECK_FAILS(fer_face_count(NULL), 0, "fer_face_count: the list of faces is NULL");
  fer_free(NULL);
  fer_faces_free(NULL);
}

static void check_prediction(fer_model* model, const char* picture) {
  unsigned char pixels[side * side * 3], padded[side * (side * 3 + 5)];
  draw(pixels);
  write_ppm(picture, pixels);
  memset(padded, 255, sizeof padded);
  for (int y = 0; y < side; ++y) memcpy(padded + y * (side * 3 + 5), pixels + y * side * 3, side * 3);

  const fer_pixels packed = {pixels, side, side, 3, 0}, with_gaps = {padded, side, side, 3, side * 3 + 5};
  float from_file[classes], from_pixels[classes], from_gaps[classes], sum = 0;
  CHECK(fer_predict_file(model, picture, from_file, classes) == FER_OK);
  CHECK(fer_predict_pixels(model, &packed, from_pixels, classes) == FER_OK);
  CHECK(fer_predict_pixels(model, &with_gaps, from_gaps, classes) == FER_OK);
  CHECK(memcmp(from_file, from_pixels, sizeof from_file) == 0);
  CHECK(memcmp(from_file, from_gaps, sizeof from_file) == 0);
  int best = 0;
  for (int i = 0; i < classes; ++i) {
    sum += from_file[i];
    if (from_file[i] > from_file[best]) best = i;
  }
  CHECK(fabsf(sum - 1) < 1e-4f);
  /* The picture is not ignored. */
  memset(pixels, 100, sizeof pixels);
  CHECK(fer_predict_pixels(model, &packed, from_pixels, classes) == FER_OK);
  CHECK(memcmp(from_file, from_pixels, sizeof from_file) != 0);

  fer_faces* faces = NULL;
  CHECK(fer_find_faces_file(model, picture, &faces) == FER_OK);
  CHECK(fer_face_count(faces) == 1); /* a small square picture is one face */
  const fer_face* face = fer_face_at(faces, 0);
  CHECK(face != NULL && face->x == 0 && face->y == 0 && face->width == side && face->height == side);
  CHECK(face != NULL && face->expression == best);
  CHECK(face != NULL && memcmp(face->probabilities, from_file, sizeof from_file) == 0);
  CHECK_FAILS(fer_face_at(faces, 1) != NULL, 0, "fer_face_at: face 1 of 1");
  fer_faces_free(faces);

  const fer_pixels wide = {padded, 2 * side, side / 2, 1, 0};
  const fer_status searched = fer_find_faces_pixels(model, &wide, &faces);
  CHECK(searched == FER_OK || searched == FER_ERROR_DEVICE); /* the latter in builds without a detector */
  if (searched == FER_OK) {
    CHECK(fer_face_count(faces) == 0);
    fer_faces_free(faces);
  } else {
    CHECK(faces == NULL);
  }
}

static void check_refusals(fer_model* model, const char* weights) {
  float p[classes] = {7};
  unsigned char pixels[12] = {0};
  CHECK_FAILS(fer_predict_file(model, NULL, p, classes), FER_ERROR_ARGUMENT,
              "fer_predict_file: the path is NULL");
  CHECK_FAILS(fer_predict_file(model, "x.png", p, 3), FER_ERROR_ARGUMENT,
              "fer_predict_file: room for 3 probabilities; the model has 8 classes");
  CHECK(fer_predict_file(model, "no/such/picture", p, classes) == FER_ERROR_FILE);
  CHECK(fer_predict_file(model, weights, p, classes) == FER_ERROR_FORMAT);
  fer_pixels bad = {pixels, 2, 2, 4, 0};
  CHECK_FAILS(fer_predict_pixels(model, &bad, p, classes), FER_ERROR_ARGUMENT,
              "fer_predict_pixels: a picture of 4 channels; it must be grey (1) or red, green, blue (3)");
  bad.channels = 3;
  bad.row_bytes = 5;
  CHECK_FAILS(fer_predict_pixels(model, &bad, p, classes), FER_ERROR_ARGUMENT,
              "fer_predict_pixels: rows of 2 pixels and 3 channels have 6 bytes or more, got 5");
  bad.width = -2;
  CHECK_FAILS(fer_predict_pixels(model, &bad, p, classes), FER_ERROR_ARGUMENT,
              "fer_predict_pixels: a picture of -2 x 2 pixels");
  bad.width = bad.height = 1 << 20;
  CHECK_FAILS(fer_predict_pixels(model, &bad, p, classes), FER_ERROR_ARGUMENT,
              "fer_predict_pixels: a picture of 1048576 x 1048576 pixels; at most 2^28 can be read");
  bad.data = NULL;
  CHECK_FAILS(fer_predict_pixels(model, &bad, p, classes), FER_ERROR_ARGUMENT,
              "fer_predict_pixels: the data of the picture is NULL");
  CHECK_FAILS(fer_class_name(model, classes) != NULL, 0, "fer_class_name: class 8 of 8");
  CHECK_FAILS(fer_find_faces_file(model, "x", NULL), FER_ERROR_ARGUMENT,
              "fer_find_faces_file: the place for the faces is NULL");
  CHECK(p[0] == 7); /* nothing is written on failure */
}

typedef struct job {
  fer_model* model;
  const char* picture;
  int number, wrong;
} job;

/* Alternates between success and failure; the error must always be this thread's own. */
static void* use_model(void* given) {
  job* j = given;
  float first[classes], p[classes];
  char expected[80];
  snprintf(expected, sizeof expected, "fer_class_name: class %d of 8", 100 + j->number);
  if (fer_predict_file(j->model, j->picture, first, classes) != FER_OK) ++j->wrong;
  for (int i = 0; i < 20; ++i) {
    if (fer_class_name(j->model, 100 + j->number) != NULL) ++j->wrong;
    if (fer_predict_file(j->model, j->picture, p, classes) != FER_OK) ++j->wrong;
    if (memcmp(p, first, sizeof p) != 0 || strcmp(fer_last_error(), expected) != 0) ++j->wrong;
  }
  return NULL;
}

static void check_threads(fer_model* model, const char* picture) {
  enum { count = 4 };
  pthread_t threads[count];
  job jobs[count];
  CHECK_FAILS(fer_class_name(model, 50) != NULL, 0, "fer_class_name: class 50 of 8");
  for (int i = 0; i < count; ++i) {
    jobs[i] = (job){model, picture, i, 0};
    if (pthread_create(&threads[i], NULL, use_model, &jobs[i]) != 0) exit(2);
  }
  for (int i = 0; i < count; ++i) {
    pthread_join(threads[i], NULL);
    CHECK(jobs[i].wrong == 0);
  }
  CHECK(strcmp(fer_last_error(), "fer_class_name: class 50 of 8") == 0);
}

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  char picture[1024];
  snprintf(picture, sizeof picture, "%s/c_api_picture.ppm", argv[2]);
  check_without_a_model();
  fer_model* model = NULL;
  CHECK(fer_load(argv[1], "cpu", &model) == FER_OK);
  if (model == NULL) return 1;
  CHECK(fer_class_count(model) == classes);
  CHECK(strcmp(fer_class_name(model, 0), "neutral") == 0);
  check_prediction(model, picture);
  check_refusals(model, argv[1]);
  check_threads(model, picture);
  fer_free(model);
  remove(picture);
  if (failures == 0) puts("the C API predicts, refuses and keeps threads apart");
  return failures == 0 ? 0 : 1;
}
