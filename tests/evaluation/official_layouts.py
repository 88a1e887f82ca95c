"""Official layouts of all data sets in miniature: real names of files and columns, generated clips."""

import json
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "data"))

from audio_files import write_clip, write_csv
from test_benchmark_sets import NAMES

FIVE = ["one", "two", "three", "four", "five"]


def esc50(root):
    classes = ((20, "crying_baby"), (21, "sneezing"))  # both also among the human sounds of ESC50-Actions
    rows = [[f"{f}-1-A-{i}.wav", f, i, name, "True", "1", "A"] for f in range(1, 6) for i, name in classes]
    write_csv(root / "meta" / "esc50.csv", "filename,fold,target,category,esc10,src_file,take", *rows)
    for row in rows:
        write_clip(root / "audio" / row[0])


def urbansound8k(root):
    columns = "slice_file_name,fsID,start,end,salience,fold,classID,class"
    rows = [[f"{f}-{i}-0-0.wav", f, 0, 1, 1, f, i, c] for f in (1, 2) for i, c in ((3, "dog_bark"), (8, "siren"))]
    write_csv(root / "metadata" / "UrbanSound8K.csv", columns, *rows)
    for row in rows:
        write_clip(root / "audio" / f"fold{row[5]}" / row[0])


def fsd50k(root):
    folder = root / "FSD50K.ground_truth"
    rows = [[100 + i, labels, "/m/1,/m/2", "train"] for i, labels in enumerate(("Bark,Dog", "Rain", "Bark,Dog"))]
    write_csv(folder / "dev.csv", "fname,labels,mids,split", *rows)
    write_csv(folder / "eval.csv", "fname,labels,mids", *[[i, labels, m] for i, labels, m, _ in rows])
    (folder / "vocabulary.csv").write_text("0,Bark,/m/1\n1,Dog,/m/2\n2,Rain,/m/3\n")
    for number in (100, 101, 102):
        (
            write_clip(root / "FSD50K.dev_audio" / f"{number}.wav"),
            write_clip(root / "FSD50K.eval_audio" / f"{number}.wav"),
        )


def dcase17(root):
    for part in ("training", "evaluation"):
        names = [f"{part[0]}bcdefghij{i}_0.000_10.000.wav" for i in range(3)]
        rows = [f"{name}\t0.000\t10.000\t{('Car', 'Train horn')[i % 2]}" for i, name in enumerate(names)]
        (root / f"groundtruth_weak_label_{part}_set.csv").write_text("\n".join(rows) + "\n")
        for name in names:
            write_clip(root / part / f"Y{name}")


def audioset(root):
    write_csv(root / "class_labels_indices.csv", "index,mid,display_name", ["0", "/m/1", "Dog"], ["1", "/m/2", "Rain"])
    for part in ("eval", "balanced_train"):
        videos = [f"{part[0]}bcdefghij{i}" for i in range(3)]
        rows = [f'{video}, 0.000, 10.000, "/m/{1 + i % 2}"' for i, video in enumerate(videos)]
        (root / f"{part}_segments.csv").write_text("\n".join(["# a", "# b", "# c", *rows]) + "\n")
        for video in videos:
            write_clip(root / part / f"Y{video}.wav")


def tut2017(root):
    development, evaluation = root / "development", root / "evaluation"
    (development / "evaluation_setup").mkdir(parents=True)
    lines = [[f"audio/{s[0]}{f}_0_10.wav\t{s}\t{s[0]}{f}" for s in ("beach", "park")] for f in range(1, 5)]
    (development / "meta.txt").write_text("\n".join(line for fold in lines for line in fold) + "\n")
    for number, fold in enumerate(lines, start=1):
        (development / "evaluation_setup" / f"fold{number}_evaluate.txt").write_text("\n".join(fold) + "\n")
        for line in fold:
            write_clip(development / line.split("\t")[0])
    tested = ["audio/1.wav\tbeach", "audio/2.wav\tpark", "audio/3.wav\tbeach"]
    evaluation.mkdir()
    (evaluation / "meta.txt").write_text("\n".join(tested) + "\n")
    for line in tested:
        write_clip(evaluation / line.split("\t")[0])


def nsynth(root):
    for part in ("train", "test"):
        notes = {}
        for i, (family, source) in enumerate((("bass", "acoustic"), ("flute", "electronic"), ("bass", "acoustic"))):
            about = {"instrument_family_str": family, "instrument_source_str": source, "pitch": 49 + i % 2}
            notes[f"{family}_{source}_00{i}-049-025"] = {
                **about,
                "velocity": 25 + i % 2,
                "qualities_str": ["dark", family],
            }
        (root / f"nsynth-{part}").mkdir()
        (root / f"nsynth-{part}" / "examples.json").write_text(json.dumps(notes))
        for note in notes:
            write_clip(root / f"nsynth-{part}" / "audio" / f"{note}.wav")


def speech_commands(root):
    names = [f"{word}/{i}a_nohash_0.wav" for word in ("yes", "bed", "no") for i in (0, 1)]
    for name in names:
        write_clip(root / name)
    (root / "testing_list.txt").write_text("\n".join(names[::2]) + "\n")
    (root / "validation_list.txt").write_text("")


def vocalsound(root):
    (root / "datafiles").mkdir()
    for part in ("tr", "te"):
        names = [f"f000{i}_0_{kind}.wav" for i in range(2) for kind in ("cough", "laughter")]
        rows = [{"wav": f"/x/{part}_{name}", "labels": "/m/1"} for name in names]
        (root / "datafiles" / f"{part}.json").write_text(json.dumps({"data": rows}))
        for row in rows:
            write_clip(root / "audio_16k" / Path(row["wav"]).name)


# A second take of each clip, by another speaker where speakers are told apart.
ANOTHER = {
    "gtzan-genres": (".00000", ".00001"),
    "gtzan-music-speech": (".wav", "_2.wav"),
    "mridangam": ("-00", "-10"),
    "beijing-opera": ("1.wav", "2.wav"),
    "crema-d": ("1001_", "1002_"),
    "ravdess": ("-12.wav", "-13.wav"),
    "libricount": ("_00a1", "_00a2"),
    "sesa": ("_000", "_001"),
}


def named(name):
    def make(root):
        for path in NAMES[name]:
            for take in (path, path.replace(*ANOTHER[name])):
                write_clip(root / take), write_clip(root / take.replace("/test/", "/train/"))
        if name == "mridangam":
            for i, tonic in enumerate(("b", "c", "d", "dsh", "e") * 2):
                write_clip(root / f"1{i}__akshaylaya__ta-{tonic}-001.wav")

    return make


def clotho(root):
    columns = "file_name,caption_1,caption_2,caption_3,caption_4,caption_5"
    write_csv(root / "clotho_captions_evaluation.csv", columns, ["a.wav", *FIVE], ["b.wav", *FIVE[::-1]])
    write_clip(root / "evaluation" / "a.wav"), write_clip(root / "evaluation" / "b.wav")


def audiocaps(root):
    rows = [
        ["1", "abcdefghijk", "30", "A dog."],
        ["2", "abcdefghijk", "30", "Dogs."],
        ["3", "bbcdefghijk", "0", "Rain."],
    ]
    write_csv(root / "test.csv", "audiocap_id,youtube_id,start_time,caption", *rows)
    write_clip(root / "abcdefghijk.wav"), write_clip(root / "bbcdefghijk.wav")


def macs(root):
    lines = ["files:"]
    for name in ("a.wav", "b.wav"):
        lines += [f"- filename: {name}", "  annotations:", f"  - sentence: sounds of {name}", "    annotator_id: 1"]
        lines += ["    tags: [footsteps]"]
        write_clip(root / "audio" / name)
    (root / "MACS.yaml").write_text("\n".join(lines) + "\n")


def wavtext5k(root):
    rows = [["", "", name, f"sounds of {name}", f"{name}.wav", ""] for name in "ab"]
    write_csv(root / "WavText5K.csv", "view_link,download_link,title,description,fname,tags", *rows)
    write_clip(root / "a.wav"), write_clip(root / "b.wav")


def clotho_aqa(root):
    rows = [["a.wav", "Is it applause?", "yes", "yes"]] * 3
    rows += [["b.wav", "What animal is it?", word, "yes"] for word in ("cow", "cow", "cattle")]
    write_csv(root / "clotho_aqa_test.csv", "file_name,QuestionText,answer,confidence", *rows)
    write_clip(root / "audio_files" / "a.wav"), write_clip(root / "audio_files" / "b.wav")


def mmau(root):
    about = {"question": "What is it?", "choices": ["rain", "a cow"], "difficulty": "easy", "category": "x"}
    tasks = ("sound", "music", "speech")
    rows = [
        {"id": f"q{i}", "audio_id": f"./test-mini-audios/{i}.wav", "task": task, "answer": "rain", **about}
        for i, task in enumerate(tasks)
    ]
    (root / "mmau-test-mini.json").write_text(json.dumps(rows))
    for i in range(len(tasks)):
        write_clip(root / "test-mini-audios" / f"{i}.wav")


def entailment(source, table, *parts):
    def make(root):
        columns = "Dataset,Audio file,Caption,Entailment,Neutral,Contradiction"
        said = ("a sound is heard", "it is loud", "it is silent")
        for part in parts:
            end = ".wav" if source == "ClothoV2" else ""  # AudioCaps has the videos' ids
            rows = [[source, f"{part[0]}{i}{end}", "A sound.", *said] for i in range(2)]
            write_csv(root / f"{table}_{part}.csv", columns, *rows)
            for i in range(2):
                write_clip(root / part / f"{part[0]}{i}.wav")

    return make


def differences(stem, place):
    def make(root):
        names = [f"{place}{name}.wav" for name in "ab"]
        for tier, words in {"fewwords": "in few words", "sentence": "in a sentence", "detail": "in detail"}.items():
            asked = f"explain the difference {words}"
            rows = [["x", *pair, "rain", "a cow", asked, "one is rain."] for pair in (names, names[::-1])]
            columns = "taskname,filepath1,filepath2,caption1,caption2,input,answer"
            write_csv(root / f"{stem}_adiff_{tier}_answer.csv", columns, *rows)
        for name in names:
            write_clip(root / name)

    return make


def reasonaqa(root):
    row = {"taskname": "clothov21", "filepath2": "", "caption1": "x", "caption2": "", "subtype": "ClothoMCQ.json"}
    asked = {"input": "what is it? a) rain b) a cow", "answer": "a) rain"}
    (root / "test.json").write_text(json.dumps([{**row, **asked, "filepath1": f"{name}.wav"} for name in "ab"]))
    write_clip(root / "a.wav"), write_clip(root / "b.wav")


MAKE = {
    **{"esc50": esc50, "esc50-actions": esc50, "urbansound8k": urbansound8k, "fsd50k": fsd50k, "dcase17": dcase17},
    **{"audioset": audioset, "tut2017": tut2017, "vocalsound": vocalsound, "macs": macs, "wavtext5k": wavtext5k},
    **{f"nsynth-{kind}": nsynth for kind in ("family", "source", "pitch", "velocity", "qualities")},
    **{"speech-commands": speech_commands, "speech-commands-35": speech_commands},
    **{"mridangam-stroke": named("mridangam"), "mridangam-tonic": named("mridangam")},
    **{name: named(name) for name in NAMES if name != "mridangam"},
    **{"clotho": clotho, "audiocaps": audiocaps, "clotho-aqa": clotho_aqa, "mmau": mmau, "reasonaqa": reasonaqa},
    **{"cle": entailment("ClothoV2", "clotho_entailment", "evaluation", "development")},
    **{"ace": entailment("AudioCaps", "audiocaps_entailment", "test")},
    **{"cld": differences("cld_evaluation", "evaluation/"), "acd": differences("acd_test", "test/")},
}
